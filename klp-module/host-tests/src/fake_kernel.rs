// SPDX-License-Identifier: GPL-2.0-only
//! What kernel_api/once.rs and published.rs use of the kernel crate: a box and a shared pointer that can be turned into raw
//! ones, and C's types. Models nothing else. Invariant: a value that is dropped was dropped by its last owner, and says so if it can.

pub(crate) mod ffi {
    pub(crate) use std::ffi::c_void;
}

pub(crate) mod prelude {
    pub(crate) use std::boxed::Box as KBox;
}

pub(crate) mod sync {
    /// Under Miri, which sees every use of freed memory.
    #[cfg(miri)]
    pub(crate) use std::sync::Arc;

    /// Elsewhere a pointer with one owner that drops its value and keeps the memory: in a model that is wrong on purpose
    /// readers do look at values that are gone, and it is the model that should complain.
    #[cfg(not(miri))]
    pub(crate) struct Arc<T>(*const T);

    // SAFETY: As the kernel's: whoever has it may read the value, and the last to have it drops it.
    #[cfg(not(miri))]
    unsafe impl<T: Send + Sync> Send for Arc<T> {}

    #[cfg(not(miri))]
    impl<T> Arc<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Box::into_raw(Box::new(value)))
        }

        pub(crate) fn into_raw(this: Self) -> *const T {
            std::mem::ManuallyDrop::new(this).0
        }

        /// # Safety
        ///
        /// `raw` must be from `into_raw`, and come here once.
        pub(crate) unsafe fn from_raw(raw: *const T) -> Self {
            Self(raw)
        }
    }

    #[cfg(not(miri))]
    impl<T> Drop for Arc<T> {
        fn drop(&mut self) {
            // SAFETY: From `new`, whose memory is never given back; there is one owner.
            unsafe { self.0.cast_mut().drop_in_place() };
        }
    }
}

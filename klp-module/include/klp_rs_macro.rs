// SPDX-License-Identifier: GPL-2.0-only
//! `livepatch!`, mounted by klp_rs.rs. Makes the description of a patch and the module around it; does nothing at run time
//! but enable it. Invariant: what needs the author's promise is written by the author, by name and type, and nothing else is
//! taken on trust.

/// Makes a patch module of a description. Each function replaces the kernel's (or a module's) function of its name:
///
/// ```ignore
/// livepatch! {
///     type: Cmdline,
///     name: "cmdline_rs",
///     authors: ["…"],
///     description: "…",
///     license: "GPL",
///     replace: true,                      // optional: stands for all patches before it
///     immediate: true,                    // optional: without consistency
///     states: [State::new(1, 1)],         // optional
///     fields: [READS: AtomicU32 = 7],     // optional: shadow variables, each with its id
///     object vmlinux with Notes {         // optional: `Notes` implements `Callbacks`
///         fn cmdline_proc_show(out: &SeqFile, _unused: *mut c_void) -> c_int { … }
///         [immediate, sympos 2] fn …      // optional, either or both
///     }
/// }
/// ```
///
/// The signature is the author's promise: it must be that of the function that is replaced, and C's idea of the types must
/// be Rust's (`&T` for a pointer that is never NULL, `#[repr(transparent)]` wrappers for what they wrap). So is the type of
/// a field: whoever uses the same id, in whatever patch, uses it for the same type. The description is `static PATCH`, for
/// `PATCH.is_complete()` and `PATCH.state(…)`; each field is a `static` [`shadow::Shadow`].
macro_rules! livepatch {
    (
        type: $type:ident, name: $name:tt, authors: $authors:tt, description: $description:tt, license: $license:tt,
        $(replace: $replace:literal,)?
        $(immediate: $immediate:literal,)?
        $(states: [$($state:expr),* $(,)?],)?
        $(fields: [$($field:ident : $field_type:ty = $id:literal),* $(,)?],)?
        $( object $object:ident $(with $callbacks:ty)? {
            $(
                $(#[$meta:meta])* $([$($option:ident $($position:literal)?),*])?
                fn $func:ident ($($arg:ident : $arg_type:ty),* $(,)?) $(-> $ret:ty)? $body:block
            )*
        } )*
    ) => {
        module! {
            type: $type,
            name: $name,
            authors: $authors,
            description: $description,
            license: $license,
        }

        $( $(
            $(#[$meta])*
            #[allow(improper_ctypes_definitions, reason = "references to transparent wrappers of C structures")]
            extern "C" fn $func($($arg: $arg_type),*) $(-> $ret)? $body
        )* )*

        // SAFETY: The author of the patch promises the type of each id, by `livepatch!`'s contract.
        $($(
            static $field: $crate::klp_rs::shadow::Shadow<$field_type> =
                unsafe { $crate::klp_rs::shadow::Shadow::new($id) };
        )*)?

        static PATCH: $crate::klp_rs::Patch = {
            use $crate::klp_rs::{Func, Object, Patch, State};

            const fn name(text: &'static str) -> &'static kernel::str::CStr {
                match kernel::str::CStr::from_bytes_with_nul(text.as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name with a NUL inside"),
                }
            }
            const fn and_end(named: &[&str]) -> usize {
                named.len() + 1
            }
            static STATES: [State; and_end(&[$($(stringify!($state)),*)?])] = [$($($state,)*)? State::END];
            static OBJECTS: [Object; and_end(&[$(stringify!($object)),*])] = [
                $( {
                    static FUNCS: &[Func] = &[
                        // SAFETY: The author of the patch promises the signature, by `livepatch!`'s contract.
                        $( unsafe {
                            Func::new(name(concat!(stringify!($func), "\0")), $func as *const kernel::ffi::c_void)
                        } $( $(.$option($($position)?))* )?, )*
                        Func::END,
                    ];
                    Object::new(name(concat!(stringify!($object), "\0")), FUNCS) $(.with::<$callbacks>())?
                }, )*
                Object::END,
            ];
            Patch::new(&OBJECTS, &STATES, false $(|| $replace)?, false $(|| $immediate)?)
        };

        struct $type;

        impl kernel::Module for $type {
            fn init(module: &'static ThisModule) -> Result<Self> {
                PATCH.enable(module)?;
                Ok(Self)
            }
        }
    };
}

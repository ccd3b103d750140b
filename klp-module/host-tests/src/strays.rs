// SPDX-License-Identifier: GPL-2.0-only
//! Children without room against looks at the tasks, in every order.

use proptest::prelude::*;

use crate::pure::strays::Strays;

proptest! {
    #[test]
    fn whoever_came_after_the_last_look_began_is_known_and_nobody_else(looks in prop::collection::vec(any::<bool>(), 0..50)) {
        let strays = Strays::new();
        let mut missed = false;
        prop_assert!(!strays.any());
        for look in looks {
            if look {
                strays.look();
            } else {
                strays.add();
            }
            missed = !look;
            prop_assert_eq!(strays.any(), missed);
        }
        prop_assert_eq!(strays.any(), missed);
    }
}

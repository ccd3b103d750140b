// SPDX-License-Identifier: GPL-2.0-only
//! livepatchd: applies a kernel live patch and sees it finish, with the reason for every task that holds it back.

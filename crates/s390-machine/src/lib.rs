// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an s390 machine owes its guest: DIAGNOSE, service calls, SIGP and STSI behind one dispatcher.

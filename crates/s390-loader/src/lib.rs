// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! IPL of a Linux image on s390: kernel, initrd, parameter area, command line.

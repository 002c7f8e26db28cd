// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How the kernel's definitions are written down, so that their layout is checked.

/// Structures with every field's offset: `NAME: size { offset => field: type, }`. The compiler
/// checks the sizes and offsets, a test compares them with the kernel's headers.
macro_rules! kernel_structs {
    ($($(#[$meta:meta])* $name:ident: $size:literal {
        $($offset:literal => $field:ident: $ty:ty,)*
    })*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Copy, Clone, Debug)]
            pub struct $name {
                $(#[allow(missing_docs)] pub $field: $ty,)*
            }

            impl Default for $name {
                fn default() -> Self {
                    // SAFETY: plain integers, and arrays and unions of them, may all be zero.
                    unsafe { std::mem::zeroed() }
                }
            }

            const _: () = {
                assert!(std::mem::size_of::<$name>() == $size);
                $(assert!(std::mem::offset_of!($name, $field) == $offset);)*
            };
        )*

        /// Every structure: its name, its size, its fields' names and offsets.
        #[cfg(test)]
        pub(crate) const LAYOUTS: &[super::macros::Layout] = &[
            $((stringify!($name), $size, &[$((stringify!($field), $offset)),*]),)*
        ];
    };
}

/// Unions, which all begin at their first byte: `NAME: size { field: type, }`.
macro_rules! kernel_unions {
    ($($(#[$meta:meta])* $name:ident: $size:literal { $($field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Copy, Clone)]
            pub union $name {
                $(#[allow(missing_docs)] pub $field: $ty,)*
            }

            impl Default for $name {
                fn default() -> Self {
                    // SAFETY: plain integers and arrays of them may all be zero.
                    unsafe { std::mem::zeroed() }
                }
            }

            impl std::fmt::Debug for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.debug_struct(stringify!($name)).finish_non_exhaustive()
                }
            }

            const _: () = assert!(std::mem::size_of::<$name>() == $size);
        )*
    };
}

/// Constants under the kernel's names.
macro_rules! kernel_constants {
    ($($(#[$meta:meta])* $name:ident: $ty:ty = $value:expr;)*) => {
        $($(#[$meta])* pub const $name: $ty = $value;)*

        /// Every constant with its name.
        #[cfg(test)]
        pub(crate) const CONSTANTS: &[(&str, u64)] = &[$((stringify!($name), $name as u64)),*];
    };
}

pub(crate) use {kernel_constants, kernel_structs, kernel_unions};

/// Name, size, fields with their offsets.
#[cfg(test)]
pub(crate) type Layout = (&'static str, usize, &'static [(&'static str, usize)]);

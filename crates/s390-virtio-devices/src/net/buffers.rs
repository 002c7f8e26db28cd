// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where a frame is: pieces of memory, most of them the guest's, for vectored I/O.

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;

use smallvec::SmallVec;
use vm_memory::bitmap::BitmapSlice;
use vm_memory::VolatileSlice;

/// Most pieces that one call takes (`UIO_MAXIOV` of Linux).
pub(super) const MAX_PIECES: usize = 1024;
/// Frames of up to this many pieces need no heap.
const INLINE_PIECES: usize = 24;

/// The pieces of one frame, in order. Guest memory among them may change at any moment: it is
/// never looked at through a reference.
pub struct FrameBuffers<'a> {
    /// The first is for what a link has in front of its frames.
    pieces: SmallVec<[libc::iovec; INLINE_PIECES]>,
    len: usize,
    _memory: PhantomData<&'a mut [u8]>,
}

impl std::fmt::Debug for FrameBuffers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameBuffers")
            .field("pieces", &(self.pieces.len() - 1))
            .field("len", &self.len)
            .finish()
    }
}

impl<'a> FrameBuffers<'a> {
    /// No pieces yet.
    pub fn new() -> Self {
        let mut pieces = SmallVec::new();
        pieces.push(piece(std::ptr::null_mut(), 0));
        FrameBuffers {
            pieces,
            len: 0,
            _memory: PhantomData,
        }
    }

    /// Appends memory of the host.
    pub fn push_slice(&mut self, slice: &'a mut [u8]) {
        self.pieces.push(piece(slice.as_mut_ptr(), slice.len()));
        self.len += slice.len();
    }

    /// Appends memory of the guest: up to `most` bytes of `slice`. Returns how many, which is none
    /// if there are too many pieces already.
    pub fn push_guest<B: BitmapSlice>(
        &mut self,
        slice: &VolatileSlice<'a, B>,
        most: usize,
    ) -> usize {
        // One piece is kept for the host.
        if self.pieces.len() + 1 >= MAX_PIECES {
            return 0;
        }
        let len = slice.len().min(most);
        if len > 0 {
            self.pieces.push(piece(slice.ptr_guard_mut().as_ptr(), len));
            self.len += len;
        }
        len
    }

    /// Bytes of all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads once from `fd`: first into `front`, which is no part of the frame, then into the
    /// pieces. Returns the bytes of both.
    ///
    /// # Errors
    ///
    /// Those of `readv`.
    pub fn read_from(&mut self, fd: &impl AsRawFd, front: &mut [u8]) -> io::Result<usize> {
        self.pieces[0] = piece(front.as_mut_ptr(), front.len());
        let (pieces, count) = (self.pieces.as_ptr(), self.count());
        // SAFETY: every piece is memory that was borrowed for as long as this object lives, as host
        // memory exclusively, or belongs to guest memory, where anything may be written; `front`
        // is borrowed exclusively until the return.
        let result = again(|| unsafe { libc::readv(fd.as_raw_fd(), pieces, count) });
        self.pieces[0] = piece(std::ptr::null_mut(), 0);
        result
    }

    /// Receives one datagram; what does not fit is cut off. Returns the bytes that it had.
    ///
    /// # Errors
    ///
    /// Those of `recvmsg`.
    pub fn receive_from(&mut self, fd: &impl AsRawFd) -> io::Result<usize> {
        let mut message = self.message();
        let fd = fd.as_raw_fd();
        // SAFETY: the pieces are memory as above; the kernel writes to them and to the message.
        again(|| unsafe { libc::recvmsg(fd, &mut message, libc::MSG_TRUNC) })
    }

    /// Writes once to `fd`: first `front`, then the pieces. Returns the bytes of both.
    ///
    /// # Errors
    ///
    /// Those of `writev`.
    pub fn write_to(&mut self, fd: &impl AsRawFd, front: &[u8]) -> io::Result<usize> {
        self.pieces[0] = piece(front.as_ptr().cast_mut(), front.len());
        let (pieces, count) = (self.pieces.as_ptr(), self.count());
        // SAFETY: as above; the kernel only reads.
        let result = again(|| unsafe { libc::writev(fd.as_raw_fd(), pieces, count) });
        self.pieces[0] = piece(std::ptr::null_mut(), 0);
        result
    }

    /// The same for a socket: there comes no signal when the peer is gone.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg`.
    pub fn send_to(&mut self, fd: &impl AsRawFd, front: &[u8]) -> io::Result<usize> {
        self.pieces[0] = piece(front.as_ptr().cast_mut(), front.len());
        let (message, fd) = (self.message(), fd.as_raw_fd());
        // SAFETY: as above; the kernel reads the message and what it points to.
        let result = again(|| unsafe { libc::sendmsg(fd, &message, libc::MSG_NOSIGNAL) });
        self.pieces[0] = piece(std::ptr::null_mut(), 0);
        result
    }

    /// Copies `bytes` into the pieces, as far as they reach; returns how many.
    pub fn copy_from_slice(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        for piece in &self.pieces[1..] {
            let rest = &bytes[done..];
            let len = rest.len().min(piece.iov_len);
            // SAFETY: the piece is memory as above, at least `len` bytes of it; `bytes` is host
            // memory that is borrowed shared, so it is no part of the pieces.
            unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), piece.iov_base.cast(), len) };
            done += len;
        }
        done
    }

    /// Appends a copy of what is in the pieces, from byte `offset` on, to `bytes`.
    pub fn copy_to(&self, offset: usize, bytes: &mut Vec<u8>) {
        let mut skip = offset;
        for piece in &self.pieces[1..] {
            let start = skip.min(piece.iov_len);
            skip -= start;
            let len = piece.iov_len - start;
            bytes.reserve(len);
            // SAFETY: the piece is memory as above, so `start + len` bytes of it can be read; the
            // vector has room for `len` more, which are initialized before they count.
            unsafe {
                let from = piece.iov_base.cast::<u8>().add(start);
                std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr().add(bytes.len()), len);
                bytes.set_len(bytes.len() + len);
            }
        }
    }

    /// The pieces as one message, without address and control data.
    fn message(&mut self) -> libc::msghdr {
        // SAFETY: a `msghdr` is plain data, for which zeros are valid.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = self.pieces.as_mut_ptr();
        message.msg_iovlen = self.pieces.len() as _;
        message
    }

    fn count(&self) -> libc::c_int {
        // At most `MAX_PIECES`, and what the device itself appends.
        self.pieces.len() as libc::c_int
    }
}

impl Default for FrameBuffers<'_> {
    fn default() -> Self {
        Self::new()
    }
}

fn piece(base: *mut u8, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: base.cast(),
        iov_len: len,
    }
}

/// Repeats a call that a signal interrupts.
fn again(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(len) => return Ok(len),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn reads_and_writes_in_pieces() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (mut front, mut a, mut b) = ([0; 2], [0; 3], [0; 5]);
        let mut buffers = FrameBuffers::new();
        assert!(buffers.is_empty());
        buffers.push_slice(&mut a);
        buffers.push_slice(&mut b);
        assert_eq!(buffers.len(), 8);
        far.write_all(&[1, 2, 3, 4, 5, 6, 7]).unwrap();
        assert_eq!(buffers.read_from(&near, &mut front).unwrap(), 7);
        let mut bytes = vec![9];
        buffers.copy_to(2, &mut bytes);
        assert_eq!(bytes, [9, 5, 6, 7, 0, 0, 0]);

        assert_eq!(buffers.copy_from_slice(&[8; 10]), 8);
        assert_eq!(buffers.copy_from_slice(&[7; 4]), 4);
        assert_eq!(buffers.send_to(&near, &[]).unwrap(), 8);
        let mut received = [0; 8];
        far.read_exact(&mut received).unwrap();
        assert_eq!(received, [7, 7, 7, 7, 8, 8, 8, 8]);
        assert_eq!(buffers.write_to(&near, &[1]).unwrap(), 9);
        assert_eq!((front, a), ([1, 2], [7; 3]));
    }

    #[test]
    fn what_was_in_front_of_one_frame_is_not_in_front_of_the_next() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut frame = [5; 4];
        let mut buffers = FrameBuffers::new();
        buffers.push_slice(&mut frame);
        far.write_all(&[6; 100]).unwrap();
        assert_eq!(buffers.send_to(&near, &[1, 2]).unwrap(), 6);
        assert_eq!(buffers.receive_from(&near).unwrap(), 4);
        assert_eq!(buffers.write_to(&near, &[3]).unwrap(), 5);
        assert_eq!(buffers.receive_from(&near).unwrap(), 4);
        assert_eq!(buffers.read_from(&near, &mut [0]).unwrap(), 5);
        assert_eq!(buffers.receive_from(&near).unwrap(), 4);
    }

    #[test]
    fn a_call_that_a_signal_interrupts_is_repeated() {
        for (errno, result) in [(libc::EINTR, Some(3)), (libc::EAGAIN, None)] {
            let mut results = [-1, 3].into_iter();
            let done = again(|| {
                // SAFETY: the address of this thread's error number.
                unsafe { *libc::__errno_location() = errno };
                results.next().unwrap()
            });
            assert_eq!(done.ok(), result);
        }
    }

    #[test]
    fn no_signal_from_a_peer_that_is_gone() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        let mut byte = [0; 1];
        let mut buffers = FrameBuffers::new();
        buffers.push_slice(&mut byte);
        let error = buffers.send_to(&near, &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn there_are_never_too_many_pieces() {
        let mut memory = [0u8; 4];
        let slice = VolatileSlice::from(&mut memory[..]);
        let mut host = [0; 8];
        let mut buffers = FrameBuffers::new();
        let pieces = (0..2000).take_while(|_| buffers.push_guest(&slice, 1) == 1);
        assert_eq!(pieces.count(), MAX_PIECES - 2);
        buffers.push_slice(&mut host);
        assert_eq!(buffers.count() as usize, MAX_PIECES);
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(&[1; 2000]).unwrap();
        assert_eq!(
            buffers.read_from(&near, &mut []).unwrap(),
            MAX_PIECES - 2 + 8
        );
    }
}

// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Requests in flight, each under the tag by which its engine knows it.

/// A fixed number of slots, some of which are taken.
pub(crate) struct Slots<R> {
    requests: Vec<Option<R>>,
    /// Tags without a request; the last one is the next.
    free: Vec<u16>,
}

impl<R> Slots<R> {
    /// So many slots, all of them free.
    pub(crate) fn new(count: u16) -> Self {
        Slots {
            requests: (0..count).map(|_| None).collect(),
            free: (0..count).rev().collect(),
        }
    }

    /// Requests in flight.
    pub(crate) fn len(&self) -> usize {
        self.requests.len() - self.free.len()
    }

    /// The tag of the next request; none if all are taken.
    pub(crate) fn next_tag(&self) -> Option<u16> {
        self.free.last().copied()
    }

    /// Keeps a request under [`next_tag`](Self::next_tag).
    pub(crate) fn put(&mut self, request: R) {
        if let Some(tag) = self.free.pop() {
            self.requests[usize::from(tag)] = Some(request);
        }
    }

    /// Gives back a request that is done, if there is one under this tag.
    pub(crate) fn take(&mut self, tag: u16) -> Option<R> {
        let request = self.requests.get_mut(usize::from(tag))?.take()?;
        self.free.push(tag);
        Some(request)
    }

    /// Gives back all that are in flight.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = R> + '_ {
        (0..self.requests.len() as u16).filter_map(|tag| self.take(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_one_request_at_a_time() {
        let mut slots = Slots::new(2);
        assert_eq!((slots.next_tag(), slots.len()), (Some(0), 0));
        slots.put('a');
        assert_eq!(slots.next_tag(), Some(1));
        slots.put('b');
        assert_eq!((slots.next_tag(), slots.len()), (None, 2));
        assert_eq!(slots.take(0), Some('a'));
        assert_eq!((slots.next_tag(), slots.len()), (Some(0), 1));
        // What an engine may say, but has no request.
        assert_eq!([slots.take(0), slots.take(2)], [None, None]);
        assert_eq!(slots.len(), 1);
        slots.put('c');
        assert_eq!(slots.drain().collect::<Vec<_>>(), ['c', 'b']);
        assert_eq!(slots.len(), 0);
    }
}

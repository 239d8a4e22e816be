//! The answers of one stream: filled in by whichever thread finds them, read by the stream, which is woken once for many.
//!
//! A channel wakes its reader at every message. Where many answers become known at one moment, the reader then runs for the first while
//! the others are still being filled in, and each costs a write to the socket and a switch of threads. Here whoever fills in an answer
//! gets the [`Wake`] that the reader waits for, and drops it when all of them are filled in.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;

/// A stream of answers with room for `window` that are asked for or not read yet.
#[must_use]
pub fn answers<T>(window: usize) -> (Places<T>, Answers<T>) {
    let shared = Arc::new(Shared { list: Mutex::new(List::default()), room: Arc::new(Semaphore::new(window)) });
    (Places(Arc::new(Writers(Arc::clone(&shared)))), Answers { shared, taken: VecDeque::new() })
}

struct Shared<T> {
    list: Mutex<List<T>>,
    room: Arc<Semaphore>,
}

struct List<T> {
    filled: VecDeque<T>,
    /// Nobody is left who could fill in an answer.
    complete: bool,
    reader: Option<Waker>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { filled: VecDeque::new(), complete: false, reader: None }
    }
}

impl<T> Shared<T> {
    fn list(&self) -> MutexGuard<'_, List<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All who may fill in answers; the last of them ends the stream.
struct Writers<T>(Arc<Shared<T>>);

impl<T> Drop for Writers<T> {
    fn drop(&mut self) {
        let mut list = self.0.list();
        list.complete = true;
        let wake = Wake(list.reader.take());
        drop(list);
        drop(wake);
    }
}

/// Where places for answers come from. The stream ends when this and all places are gone.
pub struct Places<T>(Arc<Writers<T>>);

impl<T> Places<T> {
    /// A place for one answer; waits until there is one. None when nobody reads the answers any more.
    pub async fn take(&self) -> Option<Place<T>> {
        let room = Arc::clone(&self.0.0.room).acquire_owned().await.ok()?;
        Some(Place { writers: Arc::clone(&self.0), room })
    }
}

/// The place of one answer. Dropped, it is free again.
pub struct Place<T> {
    writers: Arc<Writers<T>>,
    room: OwnedSemaphorePermit,
}

impl<T> Place<T> {
    /// Fills in the answer. It is read as soon as the wake is dropped, or earlier.
    pub fn fill(self, answer: T) -> Wake {
        // The reader gives the room back when it has read the answer.
        self.room.forget();
        let mut list = self.writers.0.list();
        list.filled.push_back(answer);
        Wake(list.reader.take())
    }
}

/// Wakes the reader of a stream when it is dropped: keep it until the other answers of the moment are filled in.
#[derive(Debug, Default)]
#[must_use = "dropped at once it wakes at once"]
pub struct Wake(Option<Waker>);

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(reader) = self.0.take() {
            reader.wake();
        }
    }
}

/// The answers in the order in which they were filled in.
pub struct Answers<T> {
    shared: Arc<Shared<T>>,
    /// Taken out of the list together, and given out one by one.
    taken: VecDeque<T>,
}

// Nothing in it is pinned.
impl<T> Unpin for Answers<T> {}

impl<T> Stream for Answers<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let own = &mut *self;
        if own.taken.is_empty() {
            let mut list = own.shared.list();
            if list.filled.is_empty() {
                if list.complete {
                    return Poll::Ready(None);
                }
                list.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            std::mem::swap(&mut own.taken, &mut list.filled);
        }
        let answer = own.taken.pop_front();
        own.shared.room.add_permits(1);
        Poll::Ready(answer)
    }
}

impl<T> Drop for Answers<T> {
    fn drop(&mut self) {
        self.shared.room.close();
    }
}

/// A stream that, when something comes after a wait, first lets everybody run who is ready to: tasks that are woken together and each
/// add to the stream then do so before it is read, and what they add travels together.
#[derive(Debug)]
pub struct Gathered<S> {
    stream: S,
    waited: bool,
}

impl<S> Gathered<S> {
    /// What `stream` gives.
    pub fn new(stream: S) -> Self {
        Self { stream, waited: false }
    }
}

impl<S: Stream + Unpin> Stream for Gathered<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if std::mem::take(&mut self.waited) {
            // A task that wakes itself while it runs goes to the end of its worker's queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = Pin::new(&mut self.stream).poll_next(context);
        self.waited = next.is_pending();
        next
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::Future as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio_stream::StreamExt as _;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_batch_of_answers_wakes_its_reader_once_and_after_the_last() {
        let (places, mut answers) = answers(8);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut answers).poll_next(&mut context).is_pending());
        let mut wakes = Vec::new();
        for answer in 0..3 {
            wakes.push(places.take().await.unwrap().fill(answer));
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        drop(wakes);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        let read: Vec<i32> = answers.take(3).collect().await;
        assert_eq!(read, [0, 1, 2]);
    }

    #[tokio::test]
    async fn tasks_that_are_woken_together_are_gathered() {
        let (places, answers) = answers(8);
        let mut gathered = Gathered::new(answers);
        let begin = Arc::new(tokio::sync::Barrier::new(3));
        let reader = tokio::spawn(async move {
            let first = gathered.next().await;
            // What is there without another wait.
            let more = std::iter::from_fn(|| {
                let next = Pin::new(&mut gathered).poll_next(&mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(next) = next { next } else { None }
            });
            first.into_iter().chain(more).collect::<Vec<i32>>()
        });
        for answer in 0..3 {
            let (begin, place) = (Arc::clone(&begin), places.take().await.unwrap());
            tokio::spawn(async move {
                begin.wait().await;
                drop(place.fill(answer));
            });
        }
        let mut read = reader.await.unwrap();
        read.sort_unstable();
        assert_eq!(read, [0, 1, 2]);
    }

    #[tokio::test]
    async fn who_does_not_read_gets_no_more_places() {
        let (places, mut answers) = answers(2);
        drop(places.take().await.unwrap().fill(1));
        let second = places.take().await.unwrap();
        let third = places.take();
        tokio::pin!(third);
        assert!(third.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(answers.next().await, Some(1));
        let third = third.await.unwrap();
        // A place that is not filled in is free again.
        drop(second);
        drop(third.fill(3));
        assert!(places.take().await.is_some());
        assert_eq!(answers.next().await, Some(3));
    }

    #[tokio::test]
    async fn the_stream_ends_with_the_last_place_and_the_places_with_the_stream() {
        let (places, mut answers) = answers(2);
        let place = places.take().await.unwrap();
        drop(places);
        let reading = tokio::spawn(async move { (answers.next().await, answers.next().await) });
        tokio::task::yield_now().await;
        drop(place.fill(1));
        assert_eq!(reading.await.unwrap(), (Some(1), None));

        let (places, answers) = super::answers::<i32>(1);
        drop(answers);
        assert!(places.take().await.is_none());
    }
}

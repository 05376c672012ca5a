//! The thread that runs user code: interceptors' `on_acknowledgement` and delivery callbacks.
//!
//! In: a completed batch's callbacks, in the order in which batches complete. Out: calls of user code. Does I/O: it starts a thread
//! with the first callback. On that thread user code may block, panic or outlive the runtime. It never stalls a socket and still
//! gets every outcome. The thread's queue is bounded by `buffer.memory`, because a batch's share of the memory is released after its
//! last callback has run.

use std::{
    any::Any,
    cell::Cell as Flag,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, mpsc},
    thread,
};

use super::{
    ack::{Ack, outcome_of},
    cell::{Cell, Place},
};
use crate::{error::DeliveryError, record::intercept::Interceptor};

/// The argument of a callback: the record's outcome.
pub(crate) type Completion = Result<Ack, DeliveryError>;

/// A user's callback for one record.
pub(crate) trait Callback: FnOnce(Completion) + Send + 'static {}

impl<F: FnOnce(Completion) + Send + 'static> Callback for F {}

/// A user's callback for one record, behind a type that hides its own. It is an `Option`, which is emptied when the record is
/// accepted.
pub(crate) trait Listener: Send {
    /// How many bytes `list` grows by when the callback joins it. `None` stands for a list that does not exist yet.
    fn cost(&self, list: Option<&Notices>) -> usize;

    /// Appends the callback to `list`, for the record at `place`.
    fn join(&mut self, list: &mut Notices, place: Place);
}

/// The callback, if there is one, behind a type that hides its own.
#[inline]
pub(crate) fn listener<F: Callback>(callback: &mut Option<F>) -> Option<&mut dyn Listener> {
    callback.is_some().then_some(callback as _)
}

/// The callback of a record that has none, where interceptors need a place in the list.
pub(crate) fn nothing(_: Completion) {}

/// The callbacks of a batch, in record order. Most programs have one type of callback, or a few. Callbacks of one type that follow
/// one another lie in one run, unboxed, so a record costs no allocation.
#[derive(Default)]
pub(crate) struct Notices(Vec<Box<dyn Run>>);

/// A run of callbacks of one type.
struct Of<F>(Vec<(Place, F)>);

trait Run: Any + Send {
    fn len(&self) -> usize;

    /// How many bytes the run takes.
    fn bytes(&self) -> usize;

    /// Splits off the callbacks from record `first` on, whose places then count from there.
    fn split_off(&mut self, first: u32) -> Box<dyn Run>;

    /// Calls every callback with its record's outcome, which is in `cell`.
    fn call(self: Box<Self>, cell: &Arc<Cell>, interceptors: &[Arc<dyn Interceptor>]);
}

impl Notices {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes the callbacks take, as [`Listener::cost`] counts them.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|run| run.bytes()).sum()
    }

    /// Splits off the callbacks from record `first` on, whose places then count from there.
    pub(super) fn split_off(&mut self, first: u32) -> Self {
        let rest = self.0.iter_mut().map(|run| run.split_off(first)).filter(|run| run.len() > 0).collect();
        self.0.retain(|run| run.len() > 0);
        Self(rest)
    }

    fn last_of<F: 'static>(&self) -> Option<&Of<F>> {
        let last: &dyn Any = &**self.0.last()?;
        last.downcast_ref()
    }

    fn last_of_mut<F: 'static>(&mut self) -> Option<&mut Of<F>> {
        let last: &mut dyn Any = &mut **self.0.last_mut()?;
        last.downcast_mut()
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "notices for {} records", self.0.iter().map(|run| run.len()).sum::<usize>())
    }
}

impl<F: Callback> Listener for Option<F> {
    fn cost(&self, list: Option<&Notices>) -> usize {
        match list.and_then(Notices::last_of::<F>) {
            Some(run) if run.0.len() < run.0.capacity() => 0,
            // The run doubles its capacity.
            Some(run) => run.0.capacity() * size_of::<(Place, F)>(),
            None => Of::<F>::EMPTY + Of::<F>::FIRST * size_of::<(Place, F)>(),
        }
    }

    fn join(&mut self, list: &mut Notices, place: Place) {
        let Some(callback) = self.take() else { return };
        if let Some(run) = list.last_of_mut::<F>() {
            if run.0.len() == run.0.capacity() {
                run.0.reserve_exact(run.0.capacity());
            }
            return run.0.push((place, callback));
        }
        let mut run = Vec::with_capacity(Of::<F>::FIRST);
        run.push((place, callback));
        list.0.push(Box::new(Of(run)));
    }
}

impl<F> Of<F> {
    /// The bytes of a box, a list, and the allocator's own for both.
    const EMPTY: usize = 2 * size_of::<Box<dyn Run>>() + size_of::<Self>() + 2 * 16;
    /// How many callbacks a new run has room for: 128 bytes of them.
    const FIRST: usize = if size_of::<(Place, F)>() > 128 { 1 } else { 128 / size_of::<(Place, F)>() };
}

impl<F: Callback> Run for Of<F> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        Self::EMPTY + self.0.capacity() * size_of::<(Place, F)>()
    }

    fn split_off(&mut self, first: u32) -> Box<dyn Run> {
        let mut rest = self.0.split_off(self.0.partition_point(|(place, _)| place.index() < first));
        self.0.shrink_to_fit();
        rest.iter_mut().for_each(|(place, _)| *place = place.counted_from(first));
        Box::new(Self(rest))
    }

    fn call(self: Box<Self>, cell: &Arc<Cell>, interceptors: &[Arc<dyn Interceptor>]) {
        let mut left = self.0.into_iter();
        let mut call = || {
            for (place, callback) in left.by_ref() {
                let outcome = outcome_of(cell, place);
                for interceptor in interceptors {
                    guarded("interceptor's on_acknowledgement", || interceptor.on_acknowledgement(outcome.as_ref()));
                }
                callback(outcome);
            }
        };
        // One guard serves the whole run. After a panic, the next one serves the rest.
        while !guarded("delivery callback", &mut call) {}
    }
}

struct Job {
    /// It is filled.
    cell: Arc<Cell>,
    notices: Notices,
    kept: Option<Box<dyn Send>>,
}

/// Runs callbacks. A clone is cheap. The thread ends when the last clone is gone and its queue is empty.
#[derive(Clone)]
pub(crate) struct Callbacks(Arc<Shared>);

struct Shared {
    interceptors: Arc<[Arc<dyn Interceptor>]>,
    thread: Option<OnceLock<mpsc::Sender<Job>>>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "callbacks for {} interceptors", self.0.interceptors.len())
    }
}

thread_local! {
    static IN_CALLBACK: Flag<bool> = const { Flag::new(false) };
}

impl Callbacks {
    /// Callbacks on a thread of their own.
    pub(crate) fn threaded(interceptors: Vec<Arc<dyn Interceptor>>) -> Self {
        Self(Arc::new(Shared { interceptors: interceptors.into(), thread: Some(OnceLock::new()) }))
    }

    /// Callbacks on the thread that completes the batch: for tests and simulations, which have one thread.
    #[cfg_attr(not(any(test, fuzzing)), expect(dead_code, reason = "for tests"))]
    pub(crate) fn inline(interceptors: Vec<Arc<dyn Interceptor>>) -> Self {
        Self(Arc::new(Shared { interceptors: interceptors.into(), thread: None }))
    }

    /// Whether every record needs a place in the list, because interceptors see every outcome.
    pub(crate) fn has_interceptors(&self) -> bool {
        !self.0.interceptors.is_empty()
    }

    /// Whether the calling thread is running a callback.
    pub(crate) fn running_here() -> bool {
        IN_CALLBACK.get()
    }

    /// Runs the callbacks of a batch whose outcome is in `cell`, and drops `kept` after the last.
    pub(super) fn run(&self, cell: Arc<Cell>, notices: Notices, kept: Option<Box<dyn Send>>) {
        let job = Job { cell, notices, kept };
        let job = match &self.0.thread {
            Some(thread) => match thread.get_or_init(|| self.start()).send(job) {
                Ok(()) => return,
                Err(mpsc::SendError(job)) => job,
            },
            None => job,
        };
        perform(&self.0.interceptors, job);
    }

    fn start(&self) -> mpsc::Sender<Job> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let interceptors = Arc::clone(&self.0.interceptors);
        let worker = move || queue.into_iter().for_each(|job| perform(&interceptors, job));
        if let Err(error) = thread::Builder::new().name("milena-callbacks".into()).spawn(worker) {
            // The closure took the queue with it, so `run` falls back to the calling thread: callbacks are late, but run.
            tracing::warn!(%error, "no thread for delivery callbacks: they will run on the sender's");
        }
        jobs
    }
}

fn perform(interceptors: &[Arc<dyn Interceptor>], job: Job) {
    IN_CALLBACK.set(true);
    job.notices.0.into_iter().for_each(|run| run.call(&job.cell, interceptors));
    IN_CALLBACK.set(false);
    drop(job.kept);
}

/// Runs user code, and logs a panic in it. Returns whether there was none.
fn guarded(what: &str, user_code: impl FnOnce()) -> bool {
    let ended = catch_unwind(AssertUnwindSafe(user_code));
    if ended.is_err() {
        tracing::error!("{what} panicked; the producer goes on");
    }
    ended.is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::delivery::{Completer, Origin, Outcome};

    /// Has `callback` told of the record at `index`.
    fn notice(notices: &mut Notices, index: u32, callback: impl Callback) {
        Some(callback).join(notices, Place::new(index, 0));
    }

    /// A batch whose records stand in the log from offset 0 on.
    fn acked() -> Arc<Cell> {
        let completer = Completer::new(Origin { topic: "t".into(), partition: 0 }, 0, Callbacks::inline(Vec::new()));
        let cell = Arc::clone(completer.cell());
        completer.complete(Outcome::Acked { base_offset: Some(0), append_time: None, confirmed: true }, Box::new(()));
        cell
    }

    #[test]
    fn callbacks_run_in_order_on_their_own_thread_and_a_panic_ends_with_itself() {
        let callbacks = Callbacks::threaded(Vec::new());
        let (told, heard) = mpsc::channel();
        let (first, last) = (told.clone(), told);
        let mut notices = Notices::default();
        notice(&mut notices, 0, move |ack| first.send((ack.unwrap().offset(), thread::current().id())).unwrap());
        notice(&mut notices, 1, |_| panic!("user code"));
        notice(&mut notices, 2, move |ack| last.send((ack.unwrap().offset(), thread::current().id())).unwrap());
        callbacks.run(acked(), notices, None);
        let heard: Vec<_> = heard.iter().collect();
        assert_eq!(heard.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [Some(0), Some(2)]);
        assert!(heard.iter().all(|(_, thread)| *thread != thread::current().id()));
    }

    #[test]
    fn what_the_batch_kept_is_released_after_its_last_callback() {
        struct Tell(mpsc::Sender<&'static str>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.send("released").unwrap();
            }
        }
        let (told, heard) = mpsc::channel();
        let kept = Box::new(Tell(told.clone()));
        let callbacks = Callbacks::threaded(Vec::new());
        let mut notices = Notices::default();
        notice(&mut notices, 0, move |_| told.send("called").unwrap());
        callbacks.run(acked(), notices, Some(kept));
        assert_eq!(heard.iter().collect::<Vec<_>>(), ["called", "released"]);
    }

    #[test]
    fn interceptors_hear_of_every_record_before_its_callback() {
        struct Spy(std::sync::Mutex<mpsc::Sender<String>>);
        impl Interceptor for Spy {
            fn on_acknowledgement(&self, outcome: Result<&Ack, &DeliveryError>) {
                self.0.lock().unwrap().send(format!("interceptor {:?}", outcome.unwrap().offset())).unwrap();
            }
        }
        let (told, heard) = mpsc::channel();
        let callbacks = Callbacks::inline(vec![Arc::new(Spy(std::sync::Mutex::new(told.clone())))]);
        let mut notices = Notices::default();
        notice(&mut notices, 0, move |ack| told.send(format!("callback {:?}", ack.unwrap().offset())).unwrap());
        notice(&mut notices, 1, nothing);
        callbacks.run(acked(), notices, None);
        let heard: Vec<_> = heard.try_iter().collect();
        assert_eq!(heard, ["interceptor Some(0)", "callback Some(0)", "interceptor Some(1)"]);
    }

    /// A callback that tells its name and the record's offset: all of one call of this are of one type.
    fn telling(told: &mpsc::Sender<(&'static str, i64)>, name: &'static str) -> impl Callback + use<> {
        let told = told.clone();
        move |ack| told.send((name, ack.unwrap().offset().unwrap())).unwrap()
    }

    #[test]
    fn those_of_one_type_lie_in_one_run_and_the_order_of_records_is_kept_across_runs() {
        let (told, heard) = mpsc::channel();
        let mut notices = Notices::default();
        for index in 0..3 {
            notice(&mut notices, index, telling(&told, "a"));
        }
        let other = told.clone();
        notice(&mut notices, 3, move |ack| other.send(("b", ack.unwrap().offset().unwrap())).unwrap());
        notice(&mut notices, 4, telling(&told, "a"));
        assert_eq!(notices.0.len(), 3);
        Callbacks::inline(Vec::new()).run(acked(), notices, None);
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [("a", 0), ("a", 1), ("a", 2), ("b", 3), ("a", 4)]);
    }

    #[test]
    fn a_list_is_split_within_a_run_and_between_runs_and_what_is_split_off_counts_anew() {
        for first in 0..=5 {
            let (told, heard) = mpsc::channel();
            let mut notices = Notices::default();
            for index in 0..2 {
                notice(&mut notices, index, telling(&told, "a"));
            }
            for index in 2..5 {
                let told = told.clone();
                notice(&mut notices, index, move |ack| told.send(("b", ack.unwrap().offset().unwrap())).unwrap());
            }
            let rest = notices.split_off(first);
            assert_eq!((notices.is_empty(), rest.is_empty()), (first == 0, first == 5));
            let callbacks = Callbacks::inline(Vec::new());
            callbacks.run(acked(), notices, None);
            callbacks.run(acked(), rest, None);
            let offsets: Vec<_> = heard.try_iter().map(|(_, offset)| offset).collect();
            let expected: Vec<_> = (0..first.into()).chain(0..i64::from(5 - first)).collect();
            assert_eq!(offsets, expected, "split at {first}");
        }
    }

    #[test]
    fn a_callback_costs_what_its_list_grows_by_and_one_of_another_type_than_the_last_a_list_of_its_own() {
        let mut notices = Notices::default();
        let mut costs = Vec::new();
        for index in 0..100 {
            let mut callback = Some(|_: Completion| ());
            costs.push(callback.cost(Some(&notices)));
            callback.join(&mut notices, Place::new(index, 0));
        }
        let grown: Vec<_> = costs.iter().enumerate().skip(1).filter(|(_, cost)| **cost > 0).collect();
        assert_eq!(grown, [(16, &128), (32, &256), (64, &512)]);
        assert!(costs[0] > 128, "room for sixteen of eight bytes is in it");
        assert_eq!(Some(nothing).cost(Some(&notices)), Some(nothing).cost(None));
    }
}

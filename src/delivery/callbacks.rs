//! The thread that runs user code: interceptors' `on_acknowledgement` and delivery callbacks.
//!
//! In: a batch's notices with its outcome, in the order in which batches complete. Out: calls of user code. It is a
//! thread of its own, started with the first callback, so that user code which blocks, or panics, or outlives the
//! runtime never stalls a socket and still hears every outcome. Its queue is bounded by `buffer.memory`: a batch's share
//! of it is returned when its last callback has run.

use std::{
    cell::Cell as Flag,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, mpsc},
    thread,
};

use super::{
    Ack,
    cell::{Cell, Place, outcome_of},
};
use crate::{error::DeliveryError, record::intercept::Interceptor};

/// A user's callback for one record.
pub(crate) type Callback = Box<dyn FnOnce(Result<Ack, DeliveryError>) + Send>;

/// Someone to tell of one record's outcome.
pub(crate) struct Notice {
    /// Where in its batch the record is, and when; see [`Cell::place`].
    pub(crate) place: Place,
    pub(crate) callback: Option<Callback>,
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "notice for record {}", self.place.index())
    }
}

struct Job {
    /// Filled: the outcome of those who are told.
    cell: Arc<Cell>,
    notices: Vec<Notice>,
    kept: Option<Box<dyn Send>>,
}

/// Where callbacks run. Cheap to clone; the thread ends when the last clone is gone and its queue is empty.
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

    /// Callbacks run where the batch is completed: for tests and simulations, which have one thread.
    #[cfg_attr(not(any(test, fuzzing)), expect(dead_code, reason = "for tests"))]
    pub(crate) fn inline(interceptors: Vec<Arc<dyn Interceptor>>) -> Self {
        Self(Arc::new(Shared { interceptors: interceptors.into(), thread: None }))
    }

    /// Whether every record needs a notice, with or without a callback of its own.
    pub(crate) fn has_interceptors(&self) -> bool {
        !self.0.interceptors.is_empty()
    }

    /// Whether the calling thread is running a callback.
    pub(crate) fn running_here() -> bool {
        IN_CALLBACK.get()
    }

    /// Tells those who are to be told what became of their records; `cell` knows. `kept` is dropped after the last.
    pub(super) fn run(&self, cell: Arc<Cell>, notices: Vec<Notice>, kept: Option<Box<dyn Send>>) {
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
            // The queue is gone with the closure, so `run` falls back to the calling thread: late, but never silent.
            tracing::warn!(%error, "no thread for delivery callbacks: they will run on the sender's");
        }
        jobs
    }
}

fn perform(interceptors: &[Arc<dyn Interceptor>], job: Job) {
    IN_CALLBACK.set(true);
    for mut notice in job.notices {
        let outcome = outcome_of(&job.cell, notice.place);
        for interceptor in interceptors {
            guarded("interceptor's on_acknowledgement", || interceptor.on_acknowledgement(outcome.as_ref()));
        }
        if let Some(callback) = notice.callback.take() {
            guarded("delivery callback", || callback(outcome));
        }
    }
    IN_CALLBACK.set(false);
    drop(job.kept);
}

/// Runs user code; a panic in it is logged and ends there.
fn guarded(what: &str, user_code: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(user_code)).is_err() {
        tracing::error!("{what} panicked; the producer goes on");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::delivery::{Completer, Origin, Outcome};

    fn notice(index: u32, callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static) -> Notice {
        Notice { place: Place::new(index, 0), callback: Some(Box::new(callback)) }
    }

    /// A batch whose records stand in the log from offset 0 on.
    fn acked() -> Arc<Cell> {
        let completer = Completer::new(Origin { topic: "t".into(), partition: 0 }, 0, Callbacks::inline(Vec::new()));
        let cell = Arc::clone(completer.cell());
        completer.complete(Outcome::Acked { base_offset: Some(0), append_time: None }, Box::new(()));
        cell
    }

    #[test]
    fn callbacks_run_in_order_on_their_own_thread_and_a_panic_ends_with_itself() {
        let callbacks = Callbacks::threaded(Vec::new());
        let (told, heard) = mpsc::channel();
        let (first, last) = (told.clone(), told);
        let notices = vec![
            notice(0, move |ack| first.send((ack.unwrap().offset(), thread::current().id())).unwrap()),
            notice(1, |_| panic!("user code")),
            notice(2, move |ack| last.send((ack.unwrap().offset(), thread::current().id())).unwrap()),
        ];
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
        callbacks.run(acked(), vec![notice(0, move |_| told.send("called").unwrap())], Some(kept));
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
        let with = notice(0, move |ack| told.send(format!("callback {:?}", ack.unwrap().offset())).unwrap());
        callbacks.run(acked(), vec![with, Notice { place: Place::new(1, 0), callback: None }], None);
        let heard: Vec<_> = heard.try_iter().collect();
        assert_eq!(heard, ["interceptor Some(0)", "callback Some(0)", "interceptor Some(1)"]);
    }
}

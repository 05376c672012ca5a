//! The accumulator by itself: when batches are sealed, what is charged, and which callbacks run.

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    Accumulator, AppendMode, Appended, BEHIND_BYTES, Clock, Limits, MetadataFailure, PartitionQueue, Refused,
    SealedBatch, YIELD_EVERY,
};
use crate::{
    ProducerBuilder, cluster,
    delivery::{Accepted, Callback, Callbacks, Completion, Delivery, Listener, Outcome, nothing},
    error::ErrorCode,
    wire::{
        compression::{Codec, Compressor, Method},
        record_batch::writer::Payload,
    },
};

const RATE_WINDOW: Duration = Duration::from_secs(30);
const LINGER: Duration = Duration::from_millis(5);

fn accumulator(batch_size: usize, linger: Duration, buffer_memory: usize) -> Arc<Accumulator> {
    Accumulator::new(
        Limits { batch_size, linger, buffer_memory, method: Method::NONE, rate_window: RATE_WINDOW },
        Callbacks::inline(Vec::new()),
    )
}

fn partition(accumulator: &Accumulator, number: usize) -> Arc<PartitionQueue> {
    let leaders = [cluster::PartitionMetadata { leader: Some(1), leader_epoch: 0 }; 3];
    Arc::clone(&accumulator.publish(&"orders".into(), &leaders, 1).partitions[number])
}

fn append(
    accumulator: &Accumulator,
    partition: &PartitionQueue,
    len: usize,
    now: Instant,
) -> Result<Appended, Refused> {
    append_with(accumulator, partition, len, None, now)
}

fn append_with(
    accumulator: &Accumulator,
    partition: &PartitionQueue,
    len: usize,
    callback: Option<&mut dyn Listener>,
    now: Instant,
) -> Result<Appended, Refused> {
    let value = vec![7; len];
    let payload = Payload::new(None, Some(&value), &[]);
    accumulator.append(partition, Some(1_000), &payload, callback, None, &now)
}

/// Slots of the partitions that have a batch to take.
fn ready(accumulator: &Accumulator, now: Instant) -> Vec<u32> {
    let mut slots = Vec::new();
    accumulator.take_ready(now, &mut slots);
    slots
}

fn charged(accumulator: &Accumulator) -> usize {
    accumulator.memory().limit() - accumulator.memory().free()
}

fn is_done<F: Future>(future: F) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Whether the sender was woken since the last call.
fn woke_the_sender(accumulator: &Accumulator) -> bool {
    is_done(accumulator.woken())
}

/// A callback that holds this many bytes.
fn callback_of<const BYTES: usize>() -> Option<impl Callback> {
    let kept = [7_u8; BYTES];
    Some(move |_| assert_eq!(kept.len(), BYTES))
}

fn records(batches: impl IntoIterator<Item = SealedBatch>) -> Vec<u32> {
    batches.into_iter().map(|batch| batch.records).collect()
}

fn take_all(partition: &PartitionQueue) -> Vec<SealedBatch> {
    std::iter::from_fn(|| partition.take()).collect()
}

#[test]
fn a_batch_is_ready_after_its_linger_and_takes_records_until_then() {
    let (accumulator, now) = (accumulator(1_000, LINGER, 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    append(&accumulator, &partition, 10, now).unwrap();
    assert_eq!(accumulator.next_due(), Some(now + LINGER));
    assert!(ready(&accumulator, now + LINGER / 2).is_empty());
    append(&accumulator, &partition, 10, now + LINGER / 2).unwrap();
    assert_eq!(ready(&accumulator, now + LINGER), [partition.slot]);
    append(&accumulator, &partition, 10, now + LINGER).unwrap();
    assert_eq!(records(take_all(&partition)), [3], "it was open until it was taken");
    assert_eq!(accumulator.next_due(), None);
}

#[test]
fn a_full_batch_is_ready_at_once_and_the_next_one_lingers() {
    let (accumulator, now) = (accumulator(300, LINGER, 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    let filled: Vec<_> = (0..4).map(|_| append(&accumulator, &partition, 80, now).unwrap().filled).collect();
    assert_eq!(filled, [false, true, false, true]);
    assert_eq!(ready(&accumulator, now), [partition.slot]);
    assert_eq!(records(take_all(&partition)), [2]);
    assert_eq!(ready(&accumulator, now + LINGER), [partition.slot]);
    assert_eq!(records(take_all(&partition)), [2]);
}

#[test]
fn without_linger_every_batch_is_ready_when_it_is_opened() {
    let (accumulator, now) = (accumulator(1_000, Duration::ZERO, 100_000), Instant::now());
    let partition = partition(&accumulator, 1);
    append(&accumulator, &partition, 10, now).unwrap();
    assert_eq!(ready(&accumulator, now), [partition.slot]);
    append(&accumulator, &partition, 10, now).unwrap();
    assert!(ready(&accumulator, now).is_empty(), "the sender knows already");
    assert_eq!(records(take_all(&partition)), [2]);
    append(&accumulator, &partition, 10, now).unwrap();
    assert_eq!(ready(&accumulator, now), [partition.slot], "it found nothing, so it is told again");
}

#[test]
fn a_record_larger_than_a_batch_goes_alone() {
    let (accumulator, now) = (accumulator(300, LINGER, 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    append(&accumulator, &partition, 10, now).unwrap();
    append(&accumulator, &partition, 5_000, now).unwrap();
    append(&accumulator, &partition, 10, now).unwrap();
    ready(&accumulator, now + LINGER);
    assert_eq!(records(take_all(&partition)), [1, 1, 1]);
}

#[test]
fn an_open_batch_is_charged_for_what_it_holds_and_grows_in_steps() {
    let (accumulator, now) = (accumulator(16_384, LINGER, 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    let charged = || accumulator.memory().limit() - accumulator.memory().free();
    append(&accumulator, &partition, 10, now).unwrap();
    assert_eq!(charged(), 512);
    append(&accumulator, &partition, 900, now).unwrap();
    assert_eq!(charged(), 1_024);
    append(&accumulator, &partition, 9_000, now).unwrap();
    let grown = charged();
    assert!((10_000..16_384).contains(&grown), "{grown}");
    append(&accumulator, &partition, 5_000, now).unwrap();
    assert_eq!(charged(), 16_384);
    ready(&accumulator, now + LINGER);
    drop(take_all(&partition));
    append(&accumulator, &partition, 10, now).unwrap();
    assert_eq!(charged(), 16_384, "the next one starts as large as the last one became");
}

#[test]
fn when_memory_is_short_open_batches_are_sent_early_and_nothing_is_lost() {
    let (accumulator, now) = (accumulator(1_000, LINGER, 900), Instant::now());
    let (full, wanting) = (partition(&accumulator, 0), partition(&accumulator, 1));
    append(&accumulator, &full, 600, now).unwrap();
    assert_eq!(append(&accumulator, &full, 200, now).unwrap_err(), Refused::NeedsMemory(61 + 200 + 22));
    assert_eq!(ready(&accumulator, now), [full.slot], "it could not grow, so it was sealed");
    append(&accumulator, &wanting, 100, now).unwrap();
    let needed = match append(&accumulator, &wanting, 700, now) {
        Err(Refused::NeedsMemory(needed)) => needed,
        other => panic!("{other:?}"),
    };
    let mut waiting = pin!(accumulator.wait_for_memory(needed));
    let mut poll = || waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    assert_eq!(ready(&accumulator, now), [wanting.slot], "because somebody waits");
    drop((take_all(&full), take_all(&wanting)));
    let Poll::Ready(Ok(charge)) = poll() else { panic!("all memory is free") };
    let value = vec![7; 700];
    let payload = Payload::new(None, Some(&value), &[]);
    accumulator.append::<Accepted>(&wanting, Some(0), &payload, None, Some(charge), &now).unwrap();
}

#[test]
fn a_callback_counts_towards_memory_and_is_kept_when_the_record_is_refused() {
    let (accumulator, now) = (accumulator(1_000, LINGER, 1_100), Instant::now());
    let partition = partition(&accumulator, 0);
    let charged = || accumulator.memory().limit() - accumulator.memory().free();
    let (told, heard) = mpsc::channel();
    let callback = |n: u32| {
        let told = told.clone();
        Some(move |outcome: Completion| told.send((n, outcome.is_ok())).unwrap())
    };
    append_with(&accumulator, &partition, 10, Some(&mut callback(1)), now).unwrap();
    assert!(charged() > 512);
    let mut refused = callback(2);
    assert!(append_with(&accumulator, &partition, 900, Some(&mut refused), now).is_err());
    assert!(refused.is_some());
    for batch in take_all(&partition) {
        batch.completer.complete(
            Outcome::Acked { base_offset: Some(0), append_time: None, confirmed: true },
            Box::new(batch.held),
        );
    }
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [(1, true)]);
    assert_eq!(charged(), 0);
}

#[test]
fn flush_makes_every_batch_ready_and_ends_when_all_have_completed() {
    let (accumulator, now) = (accumulator(1_000, Duration::from_secs(9), 100_000), Instant::now());
    let (a, b) = (partition(&accumulator, 0), partition(&accumulator, 1));
    append(&accumulator, &a, 10, now).unwrap();
    append(&accumulator, &b, 10, now).unwrap();
    let mut flush = pin!(accumulator.flush());
    let mut poll = || flush.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    assert_eq!(ready(&accumulator, now), [a.slot, b.slot]);
    let batches = [take_all(&a), take_all(&b)];
    assert!(poll().is_pending());
    drop(batches);
    assert!(poll().is_ready());
    append(&accumulator, &a, 10, now).unwrap();
    assert!(ready(&accumulator, now).is_empty(), "and then batches linger again");
}

#[test]
fn a_closed_accumulator_refuses_records_and_its_batches_can_be_taken() {
    let (accumulator, now) = (accumulator(1_000, Duration::from_secs(9), 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    append(&accumulator, &partition, 10, now).unwrap();
    accumulator.close();
    assert_eq!(append(&accumulator, &partition, 10, now).unwrap_err(), Refused::Closed);
    assert_eq!(ready(&accumulator, now), [partition.slot]);
    assert_eq!(records(take_all(&partition)), [1]);
    let later = accumulator.publish(&"new".into(), &[cluster::PartitionMetadata { leader: None, leader_epoch: 0 }], 1);
    assert_eq!(append(&accumulator, &later.partitions[0], 10, now).unwrap_err(), Refused::Closed);
}

#[test]
fn a_topic_that_returns_has_the_queues_that_it_had() {
    let (accumulator, now) = (accumulator(1_000, LINGER, 100_000), Instant::now());
    let before = partition(&accumulator, 2);
    append(&accumulator, &before, 10, now).unwrap();
    accumulator.topics().set(&"orders".into(), None);
    assert!(accumulator.topics().known().topic("orders").is_none());
    let after = partition(&accumulator, 2);
    assert!(Arc::ptr_eq(&before, &after));
}

#[test]
fn batches_that_are_too_old_are_taken_and_younger_ones_stay() {
    let (accumulator, now) = (accumulator(200, LINGER, 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    append(&accumulator, &partition, 100, now).unwrap();
    append(&accumulator, &partition, 100, now + Duration::from_secs(1)).unwrap();
    let age = Duration::from_secs(10);
    assert_eq!(partition.oldest(), Some(now));
    assert!(partition.take_older(now + Duration::from_secs(9), age).is_empty());
    assert_eq!(records(partition.take_older(now + Duration::from_secs(10), age)), [1]);
    assert_eq!(records(partition.take_older(now + Duration::from_secs(11), age)), [1], "also one that is still open");
    assert_eq!((partition.oldest(), partition.backlog()), (None, 0));
}

#[test]
fn batches_do_not_linger_while_a_caller_waits_for_memory() {
    let (accumulator, now) = (accumulator(1_000, LINGER, 1_024), Instant::now());
    let (lingers, large) = (partition(&accumulator, 0), partition(&accumulator, 1));
    append(&accumulator, &lingers, 10, now).unwrap();
    append(&accumulator, &large, 10, now).unwrap();
    assert!(ready(&accumulator, now).is_empty());
    woke_the_sender(&accumulator);
    let mut waiting = Box::pin(accumulator.wait_for_memory(600));
    assert!(!is_done(waiting.as_mut()));
    assert!(woke_the_sender(&accumulator));
    assert_eq!(ready(&accumulator, now), [lingers.slot, large.slot]);
    drop((waiting, take_all(&lingers), take_all(&large)));
    append(&accumulator, &lingers, 10, now).unwrap();
    assert!(ready(&accumulator, now).is_empty(), "and then they linger again");
}

#[test]
fn open_batches_become_due_and_batches_that_are_opened_later_do_not() {
    let (accumulator, now) = (accumulator(1_000, LINGER, 100_000), Instant::now());
    let [a, b, later] = [0, 1, 2].map(|number| partition(&accumulator, number));
    append(&accumulator, &a, 10, now).unwrap();
    append(&accumulator, &b, 10, now + LINGER / 2).unwrap();
    woke_the_sender(&accumulator);
    accumulator.send_open_batches();
    assert!(woke_the_sender(&accumulator));
    append(&accumulator, &later, 10, now + LINGER / 2).unwrap();
    assert_eq!(ready(&accumulator, now + LINGER / 2), [a.slot, b.slot]);
    assert_eq!(accumulator.next_due(), Some(now + LINGER / 2 + LINGER));
}

#[test]
fn the_sender_is_woken_by_the_first_batch_that_lingers_and_by_each_that_is_full() {
    let (accumulator, now) = (accumulator(300, LINGER, 100_000), Instant::now());
    let (a, b) = (partition(&accumulator, 0), partition(&accumulator, 1));
    append(&accumulator, &a, 80, now).unwrap();
    assert!(woke_the_sender(&accumulator), "it has to know when this one is due");
    append(&accumulator, &b, 80, now).unwrap();
    assert!(!woke_the_sender(&accumulator), "it will look before this one is due");
    append(&accumulator, &a, 80, now).unwrap();
    append(&accumulator, &a, 80, now).unwrap();
    assert!(woke_the_sender(&accumulator), "the first one is full");
}

#[test]
fn during_a_flush_every_batch_that_is_opened_wakes_the_sender() {
    let (accumulator, now) = (accumulator(1_000, LINGER, 100_000), Instant::now());
    let [a, b, c] = [0, 1, 2].map(|number| partition(&accumulator, number));
    append(&accumulator, &a, 10, now).unwrap();
    let mut flush = Box::pin(accumulator.flush());
    assert!(!is_done(flush.as_mut()));
    for partition in [b, c] {
        woke_the_sender(&accumulator);
        append(&accumulator, &partition, 10, now).unwrap();
        assert!(woke_the_sender(&accumulator));
    }
}

#[test]
fn a_record_is_charged_for_what_its_callback_keeps() {
    let now = Instant::now();
    let charged_with = |callback: Option<&mut dyn Listener>| {
        let accumulator = accumulator(1_000, LINGER, 100_000);
        append_with(&accumulator, &partition(&accumulator, 0), 10, callback, now).unwrap();
        charged(&accumulator)
    };
    assert_eq!(charged_with(None), 512);
    let small = charged_with(Some(&mut callback_of::<0>())) - 512;
    let large = charged_with(Some(&mut callback_of::<500>())) - 512;
    assert!((128..256).contains(&small), "a list of its own: {small}");
    assert!((500..700).contains(&large), "{large}");
}

#[test]
fn callbacks_of_one_type_share_a_list_which_is_charged_once() {
    let now = Instant::now();
    let charged_with = |with_callback: bool| {
        let accumulator = accumulator(16_384, LINGER, 200_000);
        let partition = partition(&accumulator, 0);
        for _ in 0..100 {
            let mut callback = callback_of::<0>().filter(|_| with_callback);
            append_with(&accumulator, &partition, 10, with_callback.then_some(&mut callback as _), now).unwrap();
        }
        charged(&accumulator)
    };
    let callbacks = charged_with(true) - charged_with(false);
    assert!(callbacks < 100 * 64, "{callbacks} bytes for a hundred");
}

#[test]
fn with_interceptors_every_record_is_charged_for_its_place_in_the_list_of_callbacks() {
    struct Nothing;
    impl crate::Interceptor for Nothing {}
    let limits = Limits {
        batch_size: 1_000,
        linger: LINGER,
        buffer_memory: 100_000,
        method: Method::NONE,
        rate_window: RATE_WINDOW,
    };
    let accumulator = Accumulator::new(limits, Callbacks::inline(vec![Arc::new(Nothing)]));
    append(&accumulator, &partition(&accumulator, 0), 10, Instant::now()).unwrap();
    assert_eq!(charged(&accumulator), 512 + Some(nothing).cost(None));
}

#[test]
fn the_callbacks_of_all_records_of_a_batch_are_charged() {
    let (accumulator, now) = (accumulator(16_384, LINGER, 200_000), Instant::now());
    let partition = partition(&accumulator, 0);
    for records in 1..100 {
        append_with(&accumulator, &partition, 10, Some(&mut callback_of::<500>()), now).unwrap();
        let (least, most) = (records * 500, 1_024 + records * (30 + 2 * 520));
        assert!((least..most).contains(&charged(&accumulator)), "{records}: {}", charged(&accumulator));
    }
    drop(take_all(&partition));
    ready(&accumulator, now + LINGER);
    drop(take_all(&partition));
    assert_eq!(charged(&accumulator), 0);
}

#[test]
fn memory_that_was_waited_for_goes_to_the_batch_if_it_is_enough_and_is_free_again_otherwise() {
    let now = Instant::now();
    for (waited_for, len, expected) in [(5_000, 100, 5_000), (200, 100, 200), (100, 100, 512)] {
        let accumulator = accumulator(16_384, LINGER, 100_000);
        let charge = accumulator.memory().try_charge(waited_for);
        let value = vec![7; len];
        let payload = Payload::new(None, Some(&value), &[]);
        accumulator.append::<Accepted>(&partition(&accumulator, 0), Some(1_000), &payload, None, charge, &now).unwrap();
        assert_eq!(charged(&accumulator), expected, "{waited_for} bytes for a record of {len}");
    }
}

#[test]
fn a_record_gets_only_what_it_needs_if_a_usual_buffer_is_too_much() {
    let (accumulator, now) = (accumulator(1_000, LINGER, 300), Instant::now());
    append(&accumulator, &partition(&accumulator, 0), 10, now).unwrap();
    assert!((61 + 10..200).contains(&charged(&accumulator)), "{}", charged(&accumulator));
}

#[test]
fn the_backlog_counts_batches_that_were_not_taken() {
    let (accumulator, now) = (accumulator(200, LINGER, 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    (0..3).for_each(|_| drop(append(&accumulator, &partition, 100, now).unwrap()));
    assert_eq!(partition.backlog(), 3);
    drop(partition.take().unwrap());
    assert_eq!(partition.backlog(), 2);
    assert_eq!((partition.take().is_some(), partition.take().is_some()), (true, false), "the last one lingers");
    assert_eq!(partition.backlog(), 1);
}

#[test]
fn the_linger_of_a_sealed_batch_does_not_make_the_next_batch_due() {
    let (accumulator, now) = (accumulator(200, LINGER, 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    append(&accumulator, &partition, 100, now).unwrap();
    append(&accumulator, &partition, 100, now + LINGER / 2).unwrap();
    assert_eq!(ready(&accumulator, now), [partition.slot]);
    assert_eq!(records(take_all(&partition)), [1]);
    assert!(ready(&accumulator, now + LINGER).is_empty());
    assert!(partition.take().is_none());
    assert_eq!(ready(&accumulator, now + LINGER / 2 + LINGER), [partition.slot]);
}

#[test]
fn a_topic_is_wanted_once_until_the_sender_takes_it() {
    let accumulator = accumulator(1_000, LINGER, 100_000);
    let topics = accumulator.topics();
    assert_eq!([topics.want("a"), topics.want("a"), topics.want("b")], [true, false, true]);
    assert_eq!(topics.take_wanted().iter().map(|topic| &**topic).collect::<Vec<_>>(), ["a", "b"]);
    assert!(topics.take_wanted().is_empty());
    assert!(topics.want("a"));
}

#[test]
fn callers_that_wait_for_a_topic_wake_after_every_response_and_on_close() {
    let accumulator = accumulator(1_000, LINGER, 100_000);
    let topics = accumulator.topics();
    let is_told = |change: &dyn Fn()| {
        let changed = pin!(topics.changed());
        change();
        is_done(changed)
    };
    assert!(!is_told(&|| ()));
    assert!(!is_told(&|| drop(partition(&accumulator, 0))), "there may be more topics in the same answer");
    assert!(is_told(&|| topics.announce()));
    assert_eq!(topics.responses(), 0);
    assert!(is_told(&|| topics.answered()) && is_told(&|| topics.answered()));
    assert_eq!(topics.responses(), 2);
    let failure =
        |is_final| Some(MetadataFailure { code: ErrorCode::NETWORK_EXCEPTION, why: "refused".into(), is_final });
    assert!(!is_told(&|| topics.set_metadata_failure(failure(false))), "there is nothing to look at");
    assert!(is_told(&|| topics.set_metadata_failure(failure(true))), "nobody need wait any longer");
    assert!(is_told(&|| accumulator.close()));
}

#[test]
fn repeated_calls_do_not_move_the_time_when_a_batch_is_due() {
    let accumulator = accumulator(1_000, LINGER, 100_000);
    let (queue, now) = (partition(&accumulator, 0), Instant::now());
    let opened = |accumulator: &Accumulator, at| drop(append(accumulator, &queue, 10, at).unwrap());
    opened(&accumulator, now);
    assert_eq!(accumulator.next_due(), Some(now + accumulator.limits.linger));
    for _ in 0..3 {
        accumulator.send_open_batches();
        assert_eq!(accumulator.next_due(), Some(now), "it goes at once, and was opened when it was opened");
    }
    let mut slots = Vec::new();
    accumulator.take_ready(now, &mut slots);
    assert_eq!((slots.len(), accumulator.next_due()), (1, None));
}

#[test]
fn a_topic_that_comes_back_with_fewer_partitions_has_only_those() {
    let accumulator = accumulator(1_000, LINGER, 100_000);
    let before = partition(&accumulator, 2);
    let leaders = [cluster::PartitionMetadata { leader: Some(1), leader_epoch: 0 }; 2];
    assert_eq!(accumulator.publish(&"orders".into(), &leaders, 1).partitions.len(), 2);
    assert_eq!(accumulator.topics().partition(before.slot).map(|known| known.slot), Some(before.slot));
}

/// A caller that took what little memory was free opened ever more batches of a few records: each was full at once,
/// because it could not grow.
#[test]
fn a_batch_that_can_wait_gets_the_usual_memory_and_one_that_cannot_gets_what_is_free() {
    let now = Instant::now();
    for (turn, opens) in [(AppendMode::Yielding, false), (AppendMode::Waiting, false), (AppendMode::NoWait, true)] {
        let accumulator = accumulator(10_000, LINGER, 12_000);
        let partition = partition(&accumulator, 0);
        let append = |turn| {
            let value = [7; 600];
            accumulator.append::<Accepted>(
                &partition,
                Some(0),
                &Payload::new(None, Some(&value), &[]),
                None,
                turn,
                &now,
            )
        };
        while !append(AppendMode::NoWait).unwrap().filled {}
        assert_eq!(charged(&accumulator), 10_000);
        let said = format!("{turn:?}");
        let answer = append(turn).map(drop);
        assert_eq!(answer.is_ok(), opens, "{said}: {answer:?}");
    }
}

#[test]
fn a_record_without_a_callback_adds_nothing_to_the_list_of_callbacks() {
    let (accumulator, now) = (accumulator(1_000, Duration::ZERO, 100_000), Instant::now());
    let partition = partition(&accumulator, 0);
    append(&accumulator, &partition, 10, now).unwrap();
    append_with(&accumulator, &partition, 10, Some(&mut callback_of::<1>()), now).unwrap();
    let batch = partition.take().unwrap();
    let told = format!("{:?}", batch.completer);
    assert!(told.contains("notices for 1 records"), "{told}");
}

#[test]
fn a_record_that_fits_to_the_byte_is_appended_and_one_byte_less_opens_another_batch() {
    let now = Instant::now();
    let taken_by = |records: usize, batch_size: usize| {
        let accumulator = accumulator(batch_size, LINGER, 100_000);
        let partition = partition(&accumulator, 0);
        (0..records).for_each(|_| drop(append(&accumulator, &partition, 600, now).unwrap()));
        ready(&accumulator, now + LINGER);
        take_all(&partition).iter().map(|batch| batch.bytes.len()).collect::<Vec<_>>()
    };
    let value = [7; 600];
    let most = Payload::new(None, Some(&value), &[]).max_len();
    let exact = taken_by(1, 16_384)[0] + most;
    assert_eq!((taken_by(2, exact).len(), taken_by(2, exact - 1).len()), (1, 2));
}

#[test]
fn a_batch_counts_as_filled_when_another_record_of_that_size_does_not_fit() {
    let now = Instant::now();
    let measured = accumulator(16_384, LINGER, 1 << 20);
    let queue = partition(&measured, 0);
    let size = [(); 2].map(|()| append(&measured, &queue, 100, now).unwrap().bytes)[1];
    ready(&measured, now + LINGER);
    let two = take_all(&queue)[0].bytes.len();
    for (room, expected) in [(size - 1, true), (size, false)] {
        let accumulator = accumulator(two + room, LINGER, 1 << 20);
        let queue = partition(&accumulator, 0);
        let filled = [(); 2].map(|()| append(&accumulator, &queue, 100, now).unwrap().filled);
        assert_eq!(filled, [false, expected], "{room} bytes of room for {size}");
    }
}

#[test]
fn a_record_whose_timestamp_is_too_far_from_its_batch_opens_the_next_one() {
    let accumulator = accumulator(16_384, LINGER, 100_000);
    let (partition, now) = (partition(&accumulator, 0), Instant::now());
    let payload = Payload::new(None, Some(b"a"), &[]);
    let far = i64::from(i32::MAX);
    let times = [0, far, far + 1, 0, i64::MIN, i64::MAX];
    let send =
        |time| accumulator.append::<Accepted>(&partition, Some(time), &payload, None, None, &now).unwrap().receipt;
    let deliveries: Vec<Delivery> = times.map(|time| send(time).into()).into();
    let batches: Vec<_> = accumulator.abandon().into_iter().map(|(_, batch)| batch).collect();
    assert_eq!(
        batches.iter().map(|batch| batch.records).collect::<Vec<_>>(),
        [2, 2, 2],
        "differences of 32 bits, which wrap as the times themselves do"
    );
    for batch in batches {
        batch
            .completer
            .complete(Outcome::Acked { base_offset: Some(0), append_time: None, confirmed: true }, Box::new(()));
    }
    let told: Vec<_> = deliveries.iter().map(|delivery| delivery.outcome().unwrap().unwrap().timestamp()).collect();
    assert_eq!(told, times);
}

#[test]
fn the_wall_clock_is_read_once_a_tick() {
    struct Ticks(Cell<u64>, Cell<i64>);
    impl Clock for Ticks {
        fn tick(&self) -> u64 {
            self.0.get()
        }
        fn unix_ms(&self) -> i64 {
            self.1.set(self.1.get() + 1);
            self.1.get()
        }
        fn now(&self) -> Instant {
            Instant::now()
        }
    }
    let accumulator = accumulator(16_384, LINGER, 100_000);
    let (partition, clock) = (partition(&accumulator, 0), Ticks(Cell::new(7), Cell::new(100)));
    let payload = Payload::new(None, Some(b"a"), &[]);
    let send = |own| {
        Delivery::from(accumulator.append::<Accepted>(&partition, own, &payload, None, None, &clock).unwrap().receipt)
    };
    let mut deliveries = vec![send(None), send(None), send(Some(5))];
    clock.0.set(8);
    deliveries.push(send(None));
    let (_, batch) = accumulator.abandon().remove(0);
    batch.completer.complete(Outcome::Acked { base_offset: None, append_time: None, confirmed: true }, Box::new(()));
    let told: Vec<_> = deliveries.iter().map(|delivery| delivery.outcome().unwrap().unwrap().timestamp()).collect();
    assert_eq!(told, [101, 101, 5, 102]);
}

#[test]
fn a_thread_that_sends_to_two_producers_and_to_changing_topics_finds_the_current_state_of_each() {
    let two = [accumulator(16_384, LINGER, 100_000), accumulator(16_384, LINGER, 100_000)];
    let name: Arc<str> = "orders".into();
    let partitions = |of: usize| two[of].topics().ready("orders").map(|(_, count)| count);
    let leaders = [cluster::PartitionMetadata { leader: Some(1), leader_epoch: 0 }; 3];
    assert_eq!([partitions(0), partitions(1)], [None, None]);
    two[0].publish(&name, &leaders, 1);
    assert_eq!([partitions(0), partitions(1)], [Some(3), None]);
    two[1].publish(&name, &leaders[..2], 1);
    assert_eq!([partitions(0), partitions(1), partitions(0)], [Some(3), Some(2), Some(3)]);
    two[0].publish(&name, &leaders[..1], 1);
    assert_eq!([partitions(0), partitions(1)], [Some(1), Some(2)]);
    two[0].topics().set(&name, None);
    assert_eq!([partitions(0), partitions(1)], [None, Some(2)]);
}

/// An accumulator that compresses, and its partition 0.
fn compressing(batch_size: usize, linger: Duration) -> (Arc<Accumulator>, Arc<PartitionQueue>, Compressor) {
    let method = Method { codec: Codec::Lz4, level: 9 };
    let limits = Limits { batch_size, linger, buffer_memory: 100_000, method, rate_window: RATE_WINDOW };
    let accumulator = Accumulator::new(limits, Callbacks::inline(Vec::new()));
    let partition = partition(&accumulator, 0);
    (accumulator, partition, Compressor::new(method))
}

fn codec_of(batch: SealedBatch) -> Codec {
    Codec::of(i16::from_be_bytes([batch.bytes[21], batch.bytes[22]])).unwrap()
}

#[test]
fn a_full_batch_can_be_taken_when_it_is_compressed() {
    let (accumulator, partition, mut compressor) = compressing(600, LINGER);
    let now = Instant::now();
    (0..2).for_each(|_| drop(append(&accumulator, &partition, 400, now).unwrap()));
    assert!(ready(&accumulator, now).is_empty() && partition.take().is_none());
    assert_eq!(accumulator.uncompressed(), 1);
    assert!(accumulator.compress_one(&mut compressor) && !accumulator.compress_one(&mut compressor));
    assert_eq!(ready(&accumulator, now), [partition.slot]);
    assert_eq!(codec_of(partition.take().unwrap()), Codec::Lz4);
}

#[test]
fn compression_is_waited_for_until_a_batch_is_to_be_compressed() {
    let (accumulator, partition, _) = compressing(600, LINGER);
    let waits = || !is_done(accumulator.to_compress());
    assert!(waits());
    (0..2).for_each(|_| drop(append(&accumulator, &partition, 400, Instant::now()).unwrap()));
    assert!(!waits() && waits());
}

#[test]
fn a_batch_that_is_due_is_compressed_when_the_sender_would_take_it() {
    let (accumulator, partition, mut compressor) = compressing(600, LINGER);
    let now = Instant::now();
    append(&accumulator, &partition, 400, now).unwrap();
    assert_eq!(ready(&accumulator, now + LINGER), [partition.slot]);
    assert!(partition.take().is_none() && ready(&accumulator, now + LINGER).is_empty());
    accumulator.compress_one(&mut compressor);
    assert_eq!(ready(&accumulator, now + LINGER), [partition.slot]);
    assert_eq!(codec_of(partition.take().unwrap()), Codec::Lz4);
}

#[test]
fn batches_are_taken_in_their_order_whichever_was_compressed_first() {
    let (accumulator, partition, mut compressor) = compressing(600, LINGER);
    let now = Instant::now();
    let sent: Vec<_> = (0..3).map(|_| append(&accumulator, &partition, 400, now).unwrap()).collect();
    let [first, second] = [(); 2].map(|()| accumulator.begin_compressing().unwrap());
    accumulator.end_compressing(second, &mut compressor);
    assert!(ready(&accumulator, now).is_empty() && partition.take().is_none());
    accumulator.end_compressing(first, &mut compressor);
    assert_eq!(ready(&accumulator, now), [partition.slot]);
    for appended in sent.into_iter().take(2) {
        partition
            .take()
            .unwrap()
            .completer
            .complete(Outcome::Acked { base_offset: None, append_time: None, confirmed: true }, Box::new(()));
        assert!(Delivery::from(appended.receipt).outcome().is_some());
    }
    assert!(partition.take().is_none());
}

#[test]
fn memory_that_compression_saves_is_free_at_once() {
    let (accumulator, partition, mut compressor) = compressing(600, Duration::ZERO);
    append(&accumulator, &partition, 400, Instant::now()).unwrap();
    assert!(partition.take().is_none());
    let before = charged(&accumulator);
    accumulator.compress_one(&mut compressor);
    let batch = partition.take().unwrap();
    assert!(batch.bytes.len() < 100 && before > 400);
    assert_eq!(charged(&accumulator), batch.bytes.len());
    drop(batch);
    assert_eq!(charged(&accumulator), 0);
}

#[test]
fn a_batch_that_expires_while_it_is_compressed_leaves_nothing_behind() {
    let (accumulator, partition, mut compressor) = compressing(600, LINGER);
    let now = Instant::now();
    let sent: Vec<_> = (0..3).map(|_| append(&accumulator, &partition, 400, now).unwrap()).collect();
    let work = accumulator.begin_compressing().unwrap();
    assert_eq!(partition.take_older(now + LINGER, LINGER).len(), 3);
    accumulator.end_compressing(work, &mut compressor);
    assert!(!accumulator.compress_one(&mut compressor), "what waits is gone as well");
    assert!(partition.take().is_none());
    assert!(sent.into_iter().all(|appended| Delivery::from(appended.receipt).outcome().is_some()));
    assert_eq!(charged(&accumulator), 0);
}

#[test]
fn a_yielding_caller_opens_no_batch_while_the_sender_is_behind_but_fills_open_ones() {
    let (accumulator, now) = (accumulator(16_384, LINGER, 8 << 20), Instant::now());
    let [full, other] = [0, 1].map(|number| partition(&accumulator, number));
    let payload = Payload::new(None, Some(&[7; 8_000]), &[]);
    let politely =
        |partition| accumulator.append::<Accepted>(partition, Some(1), &payload, None, AppendMode::Yielding, &now);
    while charged(&accumulator) <= BEHIND_BYTES {
        politely(&full).unwrap();
    }
    while politely(&full).is_ok() {}
    assert_eq!(politely(&other).unwrap_err(), Refused::Behind, "the first batch");
    append(&accumulator, &other, 8_000, now).expect("who insists is not refused");
    for _ in 1..2 * YIELD_EVERY {
        politely(&other).expect("two records to a batch, and one batch in four waits");
    }
    assert_eq!(politely(&other).unwrap_err(), Refused::Behind);
    drop(take_all(&full));
    politely(&full).unwrap();
}

#[test]
fn the_sender_is_behind_above_a_limit_and_not_at_it() {
    let (accumulator, now) = (accumulator(16_384, LINGER, 8 << 20), Instant::now());
    let [first, second] = [0, 1].map(|number| partition(&accumulator, number));
    let payload = Payload::new(None, Some(&[7; 10]), &[]);
    let politely =
        |partition| accumulator.append::<Accepted>(partition, Some(1), &payload, None, AppendMode::Yielding, &now);
    let charge = accumulator.memory().try_charge(BEHIND_BYTES).unwrap();
    politely(&first).unwrap();
    assert_eq!(politely(&second).unwrap_err(), Refused::Behind);
    drop(charge);
    politely(&second).unwrap();
}

#[test]
fn while_memory_is_short_batches_that_wait_for_compression_come_before_open_ones() {
    let (accumulator, partition, mut compressor) = compressing(600, LINGER);
    let (other, now) = (self::partition(&accumulator, 1), Instant::now());
    (0..2).for_each(|_| drop(append(&accumulator, &partition, 400, now).unwrap()));
    append(&accumulator, &other, 100, now).unwrap();
    let mut waits = pin!(accumulator.wait_for_memory(99_900));
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(ready(&accumulator, now).is_empty(), "one batch waits to be compressed");
    accumulator.compress_one(&mut compressor);
    let mut slots = ready(&accumulator, now);
    slots.sort_unstable();
    assert_eq!(slots, [partition.slot, other.slot], "nothing else can give memory back");
}

#[test]
fn while_memory_is_short_a_batch_that_is_compressed_wakes_the_sender_though_it_cannot_be_taken_yet() {
    for (wanted, wakes) in [(99_900, true), (1, false)] {
        let (accumulator, partition, mut compressor) = compressing(600, LINGER);
        (0..3).for_each(|_| drop(append(&accumulator, &partition, 400, Instant::now()).unwrap()));
        let [_first, second] = [(); 2].map(|()| accumulator.begin_compressing().unwrap());
        let mut waits = pin!(accumulator.wait_for_memory(wanted));
        let _ = waits.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        woke_the_sender(&accumulator);
        accumulator.end_compressing(second, &mut compressor);
        assert_eq!(woke_the_sender(&accumulator), wakes, "open batches may be due now, of whichever partition");
    }
}

#[test]
fn a_linger_timer_is_set_earlier_by_the_lateness_of_timers_or_by_a_third_of_a_short_linger() {
    let linger = |ms: &str| {
        let builder = ProducerBuilder::new("localhost:9092").property("linger.ms", ms);
        Limits::of(&builder.validate().unwrap()).linger.as_micros()
    };
    assert_eq!(["0", "1", "3", "5", "1000"].map(linger), [0, 666, 2_000, 3_500, 998_500]);
}

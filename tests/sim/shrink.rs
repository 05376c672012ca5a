//! Makes a failing plan smaller, so that its cause is easier to find.
//!
//! In: a plan that fails, and a function that says whether another plan fails. Out: a plan that still fails and from
//! which nothing can be removed. Pure: the same plan always shrinks to the same.

use super::plan::{Network, Plan};

/// The most plans that are tried.
const TRIALS: usize = 3_000;

/// Shrinks a plan. `plan` must fail, and name the requests that meet a fault.
pub(crate) fn shrink(mut plan: Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut trials = 0;
    let mut fails = |plan: &Plan| {
        trials += 1;
        trials <= TRIALS && fails(plan)
    };
    loop {
        let before = size(&plan);
        for take in [fewer_faults, fewer_requests, fewer_flushes, fewer_records] {
            plan = take(plan, &mut fails);
        }
        if size(&plan) == before {
            return plan;
        }
    }
}

type Fails<'a> = &'a mut dyn FnMut(&Plan) -> bool;

/// The size of a plan.
fn size(plan: &Plan) -> usize {
    let requests = if let Network::Exactly(met) = &plan.network { met.len() } else { usize::MAX / 2 };
    requests + plan.faults.len() + plan.flushes.len() + (plan.tasks + plan.records_per_task) as usize
}

fn fewer_faults(plan: Plan, fails: Fails<'_>) -> Plan {
    let with = |faults: &[_]| Plan { faults: faults.to_vec(), ..plan.clone() };
    with(&fewest(plan.faults.clone(), |faults| fails(&with(faults))))
}

fn fewer_requests(plan: Plan, fails: Fails<'_>) -> Plan {
    let Network::Exactly(met) = &plan.network else { return plan };
    let with = |met: &[_]| Plan { network: Network::Exactly(met.iter().copied().collect()), ..plan.clone() };
    let met = met.iter().map(|(number, kind)| (*number, *kind)).collect();
    with(&fewest(met, |met| fails(&with(met))))
}

fn fewer_flushes(plan: Plan, fails: Fails<'_>) -> Plan {
    let with = |flushes: &[_]| Plan { flushes: flushes.to_vec(), ..plan.clone() };
    with(&fewest(plan.flushes.clone(), |flushes| fails(&with(flushes))))
}

fn fewer_records(mut plan: Plan, fails: Fails<'_>) -> Plan {
    let mut records = plan.records_per_task;
    while records > 1 {
        let fewer = [records / 2, records - 1].map(|records_per_task| Plan { records_per_task, ..plan.clone() });
        let Some(found) = fewer.into_iter().find(|plan| fails(plan)) else { break };
        (records, plan) = (found.records_per_task, found);
    }
    let alone = Plan { tasks: 1, ..plan.clone() };
    if plan.tasks > 1 && fails(&alone) { alone } else { plan }
}

/// The fewest items that still fail. Removes chunks, smaller and smaller ones.
fn fewest<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut chunk = items.len();
    while chunk > 0 {
        let mut start = 0;
        while start < items.len() {
            let end = (start + chunk).min(items.len());
            let rest = [&items[..start], &items[end..]].concat();
            if fails(&rest) {
                items = rest;
            } else {
                start = end;
            }
        }
        chunk /= 2;
    }
    items
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sim::plan::{Fault, Kind};

    fn crowded() -> Plan {
        let fault = |n: u64| Fault { at_ms: n, kind: Kind::ALL[n as usize % Kind::ALL.len()], seed: n };
        let met: BTreeMap<u64, Kind> = (0..50).map(|n| (n, Kind::CutAfter)).collect();
        Plan {
            faults: (0..40).map(fault).collect(),
            network: Network::Exactly(met),
            flushes: vec![1, 2, 3],
            tasks: 4,
            records_per_task: 60,
            ..Plan::draw(1, false)
        }
    }

    fn requests(plan: &Plan) -> Vec<u64> {
        if let Network::Exactly(met) = &plan.network { met.keys().copied().collect() } else { Vec::new() }
    }

    #[test]
    fn everything_that_is_not_needed_is_removed() {
        let matters = |plan: &Plan| {
            let at = |at_ms| plan.faults.iter().any(|fault| fault.at_ms == at_ms);
            at(7) && at(31) && requests(plan).contains(&42) && plan.records_per_task >= 5
        };
        let small = shrink(crowded(), matters);
        assert_eq!(small.faults.iter().map(|fault| fault.at_ms).collect::<Vec<_>>(), [7, 31]);
        assert_eq!((requests(&small), small.flushes.len()), (vec![42], 0));
        assert_eq!((small.tasks, small.records_per_task), (1, 5));
    }

    #[test]
    fn a_failure_that_needs_everything_stays_as_it_is() {
        let whole = size(&crowded());
        assert_eq!(size(&shrink(crowded(), |plan| size(plan) == whole)), whole);
    }

    #[test]
    fn it_ends_even_if_every_plan_fails() {
        let small = shrink(crowded(), |_| true);
        assert_eq!((small.faults.len(), requests(&small).len(), small.records_per_task, small.tasks), (0, 0, 1, 1));
    }
}

//! Counts heap allocations of the caller's thread while it appends, and ends with failure if a record costs one.
//!
//! A batch costs some: its buffer, its cell. So the same records go into batches of 16 KiB and of 128 KiB: what a record
//! costs by itself would stay the same, what a batch costs becomes rarer.

#[path = "../../../support/still.rs"]
mod still;

use std::process::ExitCode;

use allocation_counter::measure;
use still::Still;

const RECORDS: usize = 100_000;

fn main() -> ExitCode {
    println!("{:<28}{:>14}{:>14}{:>20}", "100 B records appended", "allocations", "a record", "bytes a record");
    let shares = [(true, 16_384), (true, 131_072), (false, 16_384), (false, 131_072)].map(count);
    if shares.iter().any(|share| *share > 0.1) || shares[1] > shares[0] / 4.0 || shares[3] > shares[2] / 4.0 {
        println!("a record costs an allocation of its own");
        return ExitCode::FAILURE;
    }
    println!("no record costs an allocation: all are a batch's");
    ExitCode::SUCCESS
}

fn count((keyed, batch_size): (bool, usize)) -> f64 {
    let (still, mut slots) = (Still::new(1, 6, batch_size), Still::slots(RECORDS));
    still.append(keyed, &[b'v'; 100], &mut slots);
    still.deliver(&mut slots);
    let counted = measure(|| still.append(keyed, &[b'v'; 100], &mut slots));
    still.deliver(&mut slots);
    let each = |count: u64| count as f64 / RECORDS as f64;
    let name = format!("{}, {} KiB batches", if keyed { "keyed" } else { "sticky" }, batch_size >> 10);
    let (allocations, bytes) = (each(counted.count_total), each(counted.bytes_total));
    println!("{name:<28}{:>14}{allocations:>14.4}{bytes:>20.1}", counted.count_total);
    allocations
}

//! Counts heap allocations of the caller's thread while it appends, and fails if a record takes one.
//!
//! A batch allocates its buffer and its cell. So the same records are appended to batches of 16 KiB and of 128 KiB.
//! Allocations for each record would stay the same, and allocations for each batch become fewer.

#[path = "../../../support/still.rs"]
mod still;

use std::process::ExitCode;

use allocation_counter::measure;
use milena::Delivery;
use still::Still;

const RECORDS: usize = 100_000;
const VALUE: [u8; 100] = [b'v'; 100];

fn main() -> ExitCode {
    println!("{:<28}{:>14}{:>14}{:>20}", "100 B records appended", "allocations", "a record", "bytes a record");
    let works = ["keyed", "sticky", "with callbacks"];
    let shares = works.map(|work| [16_384, 131_072].map(|batch_size| count(work, batch_size)));
    if shares.iter().any(|[small, large]| *small > 0.1 || *large > small / 4.0) {
        println!("a record costs an allocation of its own");
        return ExitCode::FAILURE;
    }
    println!("no record costs an allocation: all are a batch's");
    ExitCode::SUCCESS
}

fn count(work: &str, batch_size: usize) -> f64 {
    let (still, mut slots) = (Still::new(1, 6, batch_size), Still::slots(RECORDS));
    append(&still, work, &mut slots);
    still.deliver(&mut slots);
    let counted = measure(|| append(&still, work, &mut slots));
    still.deliver(&mut slots);
    let each = |count: u64| count as f64 / RECORDS as f64;
    let name = format!("{work}, {} KiB batches", batch_size >> 10);
    let (allocations, bytes) = (each(counted.count_total), each(counted.bytes_total));
    println!("{name:<28}{:>14}{allocations:>14.4}{bytes:>20.1}", counted.count_total);
    allocations
}

fn append(still: &Still, work: &str, slots: &mut [Option<Delivery>]) {
    match work {
        "with callbacks" => still.append_with_callback(slots.len(), &VALUE, |_| ()),
        _ => still.append(work == "keyed", &VALUE, slots),
    }
}

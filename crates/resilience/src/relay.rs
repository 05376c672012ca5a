//! The retry job: sends stored events again, and makes dead letters of those that cannot be delivered.

#[cfg_attr(not(test), expect(dead_code, reason = "the job itself comes next"))]
mod backlog;
mod schedule;

pub use self::{
    backlog::Poison,
    schedule::{Blame, Next, Schedule},
};

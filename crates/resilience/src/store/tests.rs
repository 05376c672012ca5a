//! Tests of all stores, and of the store in memory alone.

/// One test for each scenario of the conformance suite, with the stores that `$factory` opens.
macro_rules! conformance {
    ($factory:expr) => {
        conformance!(@ $factory;
            events_come_back_as_they_were_stored_in_the_order_of_acceptance
            an_insert_of_nothing_stores_nothing
            settled_events_are_gone_and_counted
            settled_events_stay_for_the_retention
            an_event_that_is_settled_twice_is_counted_once
            a_failed_event_is_due_at_the_very_time_and_keeps_its_first_error
            a_clock_that_jumps_by_an_hour_makes_nothing_wait_longer
            an_event_that_is_held_is_not_due_before_its_time
            what_cannot_be_dead_lettered_waits_for_an_operator
            a_replayed_event_starts_again_in_its_old_place
            a_full_store_refuses_whole_inserts_and_goes_on_settling
            numbers_are_not_used_again
            nobody_else_acquires_a_lease_until_it_expires_or_is_released
            an_old_token_changes_no_row
            only_what_may_have_been_sent_is_marked_when_a_lease_is_taken_over
            after_a_release_nothing_counts_as_sent
            pages_have_at_most_their_rows_and_bytes_and_go_on_where_the_last_one_ended
            buckets_are_leased_apart_and_have_their_own_events
            slots_count_the_unsettled_events_of_each_key
            lists_show_what_the_filter_lets_through
            purged_events_are_gone_and_counted_apart
            only_events_of_the_range_are_replayed_and_purged
            a_publisher_acknowledges_what_it_wrote_ahead_without_a_lease
            a_pass_is_given_while_nothing_is_unsettled_and_lasts_until_it_is_ended
            an_insert_tells_which_passes_there_are
            busy_slots_are_those_of_unsettled_events_behind_a_place
            the_oldest_event_tells_its_age
            a_row_that_is_kept_says_where_its_event_was_written
            who_claims_a_key_first_has_it_until_it_is_free_or_its_time_is_over
            a_closed_store_says_so
            every_answer_is_that_of_the_plainest_store
        );
    };
    (@ $factory:expr; $($scenario:ident)*) => {
        $(
            #[tokio::test]
            async fn $scenario() {
                $crate::store::tests::conformance::$scenario(&$factory).await;
            }
        )*
    };
}

mod conformance;
mod memory;
#[cfg(feature = "postgres-tests")]
mod postgres;
mod script;
mod setup;
#[cfg(feature = "sqlite")]
mod sqlite;

mod memory_with_one_bucket {
    conformance!(super::setup::Memory { buckets: 1 });
}

mod memory_with_four_buckets {
    conformance!(super::setup::Memory { buckets: 4 });
}

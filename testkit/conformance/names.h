/* SPDX-License-Identifier: MIT */
/* The suite's short words as an archive may have them: a program that links it has a begin() of its
   own. */
#ifndef IDEM_TESTKIT_NAMES_H
#define IDEM_TESTKIT_NAMES_H

#define advance                   idem__testkit_advance
#define assert_absent             idem__testkit_assert_absent
#define assert_bytes              idem__testkit_assert_bytes
#define assert_outcome            idem__testkit_assert_outcome
#define assert_outcome_with       idem__testkit_assert_outcome_with
#define assert_replayed           idem__testkit_assert_replayed
#define assert_unchanged          idem__testkit_assert_unchanged
#define begin                     idem__testkit_begin
#define claim_key                 idem__testkit_claim_key
#define complete_key              idem__testkit_complete_key
#define conformance_add           idem__testkit_conformance_add
#define conformance_add_loop      idem__testkit_conformance_add_loop
#define conformance_any_bytes     idem__testkit_conformance_any_bytes
#define conformance_batches       idem__testkit_conformance_batches
#define conformance_begin         idem__testkit_conformance_begin
#define conformance_bytes         idem__testkit_conformance_bytes
#define conformance_claims        idem__testkit_conformance_claims
#define conformance_fingerprints  idem__testkit_conformance_fingerprints
#define conformance_first_store   idem__testkit_conformance_first_store
#define conformance_fork          idem__testkit_conformance_fork
#define conformance_guarantees    idem__testkit_conformance_guarantees
#define conformance_hurry         idem__testkit_conformance_hurry
#define conformance_limits        idem__testkit_conformance_limits
#define conformance_open_url      idem__testkit_conformance_open_url
#define conformance_operators     idem__testkit_conformance_operators
#define conformance_path          idem__testkit_conformance_path
#define conformance_process       idem__testkit_conformance_process
#define conformance_records       idem__testkit_conformance_records
#define conformance_reinstatement idem__testkit_conformance_reinstatement
#define conformance_remove        idem__testkit_conformance_remove
#define conformance_run           idem__testkit_conformance_run
#define conformance_run_all       idem__testkit_conformance_run_all
#define conformance_scan          idem__testkit_conformance_scan
#define conformance_threads       idem__testkit_conformance_threads
#define conformance_waiting       idem__testkit_conformance_waiting
#define err                       idem__testkit_err
#define expired_claim             idem__testkit_expired_claim
#define has                       idem__testkit_has
#define join_child                idem__testkit_join_child
#define limit_child               idem__testkit_limit_child
#define one                       idem__testkit_one
#define open_anyhow               idem__testkit_open_anyhow
#define open_more                 idem__testkit_open_more
#define open_observed             idem__testkit_open_observed
#define open_out_of_reach         idem__testkit_open_out_of_reach
#define open_with                 idem__testkit_open_with
#define open_with_our_clock       idem__testkit_open_with_our_clock
#define other                     idem__testkit_other
#define read_from                 idem__testkit_read_from
#define record_now                idem__testkit_record_now
#define reopen                    idem__testkit_reopen
#define sleep_ms                  idem__testkit_sleep_ms
#define span_ms                   idem__testkit_span_ms
#define start_child               idem__testkit_start_child
#define take_over                 idem__testkit_take_over
#define time_is_ours              idem__testkit_time_is_ours
#define whole_cycle               idem__testkit_whole_cycle
#define write_to                  idem__testkit_write_to

#endif

//! Records alone: they need no tasks, so moto can run some of these, too.

use rollout_core::context::OpContext;
use rollout_core::dns::{ChangeBatch, Marker, Record, RecordData, RecordKey};
use rollout_core::error::{Applied, ErrorKind};
use rollout_core::id::Generation;
use rollout_core::machine::cutover::{self, Cutover, Goal};
use rollout_core::pace::Priority;
use rollout_core::time::Timestamp;
use rollout_tests::emulator::account::Account;
use rollout_tests::emulator::release::{self, cutover_policy, drive};
use rollout_tests::emulator::site::Site;
use rollout_tests::emulator::zone::Zone;
use rollout_tests::emulator::{id, unique};

struct Here {
    zone: Zone,
    key: RecordKey,
    wired: release::Wired,
}

/// A zone with one record; no service of any kind.
async fn here() -> Here {
    let tag = unique("d");
    let account = Account::open("222222222222").await;
    let zone = Zone::create(&account, &tag).await;
    let key = zone.cname("api");
    zone.upsert(&key, 2, "old.example.net").await;
    // No cluster is made: the adapters of services are there and are not called.
    let site = Site {
        account: account.clone(),
        cluster: tag,
    };
    let identity = account.identity().await;
    let wired = release::wire(&site, &site, &identity, core::slice::from_ref(&zone.id));
    Here { zone, key, wired }
}

fn values(ttl: u32, value: &str) -> RecordData {
    RecordData::Values {
        ttl,
        values: vec![value.to_owned()],
    }
}

fn ctx() -> OpContext {
    OpContext {
        run: id("r-stale"),
        step: id("dns/api"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    }
}

/// Reads a record, lets somebody else write it, and then writes what the read allowed.
async fn overtaken(here: &Here, key: &RecordKey) {
    let Here { zone, wired, .. } = here;
    let (ctx, dns) = (ctx(), &wired.ports.dns);
    let seen = dns.snapshot(&ctx, &zone.id, key).await.expect("a snapshot");
    zone.upsert(key, 2, "theirs.example.net").await;
    let ours = Record {
        key: key.clone(),
        weight: None,
        data: values(2, "ours.example.net"),
    };
    let marker = Marker {
        generation: Generation(1),
        run: ctx.run.clone(),
    };
    let batch = ChangeBatch::compare_and_set(&seen, ours, &marker).expect("a batch");

    let refused = dns.apply(&ctx, &batch).await.expect_err("a stale batch");

    let (kind, applied) = (refused.kind, refused.applied);
    assert_eq!((kind, applied), (ErrorKind::Conflict, Applied::No), "{refused:?}");
    let now = zone.read(key.name.as_str(), "CNAME").await;
    assert_eq!(now, Some((2, vec!["theirs.example.net".to_owned()])));
    // The marker was in the same batch: all or nothing.
    assert_eq!(zone.marker(key).await, None);
}

/// Somebody changes the record between our read and our write.
pub(crate) async fn a_stale_batch() {
    let here = here().await;
    overtaken(&here, &here.key).await;
}

/// Somebody makes the record that we saw missing.
pub(crate) async fn a_record_that_came_first() {
    let here = here().await;
    overtaken(&here, &here.zone.cname("new")).await;
}

/// There and back, each a compare-and-set with a marker of its own.
pub(crate) async fn a_record_moves_and_comes_back() {
    let Here { zone, key, wired } = here().await;
    let spec = |run: &str, goal| cutover::Spec {
        run: id(run),
        zone: zone.id.clone(),
        key: key.clone(),
        goal,
        // Nobody knows the target: it is a name of no load balancer.
        allow_unhealthy_target: true,
        drain: None,
    };
    let to = values(2, "new.example.net");
    let goal = Goal::Move {
        to: to.clone(),
        lowered_ttl: 1,
    };
    let mut machine = Cutover::new(spec("r-there", goal), cutover_policy());
    let outcome = drive(&id("r-there"), &wired.ports, &mut machine).await;
    let cutover::Outcome::Moved { now, .. } = outcome else {
        panic!("{outcome:#?}")
    };
    let (original, ours) = machine.undo().expect("it was written");
    assert_eq!(now.data, to);
    let read = zone.read(key.name.as_str(), "CNAME").await;
    assert_eq!(read, Some((2, vec!["new.example.net".to_owned()])));
    let there = zone.marker(&key).await.expect("a marker");
    assert!(there.ends_with(" run=r-there\""), "{there}");

    let goal = Goal::Restore {
        original: Box::new(original.clone()),
        ours: ours.to_vec(),
    };
    let outcome = drive(
        &id("r-back"),
        &wired.ports,
        &mut Cutover::new(spec("r-back", goal), cutover_policy()),
    )
    .await;
    assert!(matches!(outcome, cutover::Outcome::Moved { .. }), "{outcome:#?}");
    let read = zone.read(key.name.as_str(), "CNAME").await;
    assert_eq!(read, Some((2, vec!["old.example.net".to_owned()])));
    let back = zone.marker(&key).await.expect("a marker");
    assert!(back.ends_with(" run=r-back\""), "{back}");
}

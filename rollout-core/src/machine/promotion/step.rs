//! One function for each state.

use super::source::prove;
use super::{Copy, Effect, Event, Next, Outcome, Promotion, Proven, Reference, State};
use crate::error::{Applied, ErrorRecord};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::{ImageDigest, ImageTag};
use crate::image::{ImageRef, ManifestTree};
use crate::machine::call::{Call, Due, cause_of, evidence_of, is_final, no_answer};
use crate::time::Timestamp;

impl Promotion {
    pub(super) fn step_idle(&self, now: Timestamp, event: Event) -> Next {
        match event {
            Event::Start => match &self.spec.reference {
                Reference::Tag(tag) => (State::Resolving { call: self.made(now) }, self.resolve(tag)),
                Reference::Digest(digest) => self.look_at_source(now, digest.clone()),
            },
            Event::Abort => refused(aborted("before it began")),
            Event::TagResolved(_)
            | Event::SourceObserved(_)
            | Event::Proceed
            | Event::Copied(_)
            | Event::ReadBack(_)
            | Event::CallFailed(_)
            | Event::Elapsed => (State::Idle, Vec::new()),
        }
    }

    fn look_at_source(&self, now: Timestamp, digest: ImageDigest) -> Next {
        let call = self.made(now);
        (State::Observing { digest, call }, self.observe())
    }

    fn tag_missing(&self) -> Reason {
        let tag = match &self.spec.reference {
            Reference::Tag(tag) => tag.as_str(),
            Reference::Digest(digest) => digest.as_str(),
        };
        Reason::new(
            Cause::TagMissing,
            format!("tag {tag} does not exist in {}", self.spec.from),
        )
    }

    pub(super) fn step_resolving(&self, now: Timestamp, event: Event, call: Call) -> Next {
        let stay = |call| State::Resolving { call };
        match event {
            Event::TagResolved(Some(digest)) => self.look_at_source(now, digest),
            Event::TagResolved(None) => refused(self.tag_missing()),
            Event::CallFailed(error) if call.is_under_way() => self.read_failed(now, call, error, stay),
            Event::Elapsed => self.read_elapsed(now, call, "resolve tag", self.resolve_again(), stay),
            Event::Abort => refused(aborted("while its tag was resolved")),
            Event::Start
            | Event::SourceObserved(_)
            | Event::Proceed
            | Event::Copied(_)
            | Event::ReadBack(_)
            | Event::CallFailed(_) => (stay(call), Vec::new()),
        }
    }

    pub(super) fn step_observing(
        &self,
        now: Timestamp,
        event: Event,
        digest: ImageDigest,
        call: Call,
    ) -> Next {
        match event {
            Event::SourceObserved(seen) => match prove(&self.spec, digest, &seen, now) {
                Ok(proven) => {
                    let until = now.after(self.policy.proceed);
                    (State::Ready { proven, until }, Vec::new())
                }
                Err(reason) => refused(reason),
            },
            Event::CallFailed(error) if call.is_under_way() => {
                self.read_failed(now, call, error, |call| State::Observing { digest, call })
            }
            Event::Elapsed => self.read_elapsed(now, call, "observe source", self.observe(), |call| {
                State::Observing { digest, call }
            }),
            Event::Abort => refused(aborted("while the source environment was looked at")),
            Event::Start
            | Event::TagResolved(_)
            | Event::Proceed
            | Event::Copied(_)
            | Event::ReadBack(_)
            | Event::CallFailed(_) => (State::Observing { digest, call }, Vec::new()),
        }
    }

    pub(super) fn step_ready(&self, now: Timestamp, event: Event, proven: Proven, until: Timestamp) -> Next {
        match event {
            Event::Proceed => match &self.spec.reference {
                Reference::Tag(tag) => {
                    let call = self.made(now);
                    (State::Confirming { proven, call }, self.resolve(tag))
                }
                Reference::Digest(_) => self.begin_copy(now, proven),
            },
            Event::Elapsed if now >= until => refused(Reason::new(
                Cause::DeadlineExceeded,
                format!("it was ready, and nobody let it copy before {until}"),
            )),
            Event::Abort => refused(aborted("before it was let copy")),
            Event::Start
            | Event::TagResolved(_)
            | Event::SourceObserved(_)
            | Event::Copied(_)
            | Event::ReadBack(_)
            | Event::CallFailed(_)
            | Event::Elapsed => (State::Ready { proven, until }, Vec::new()),
        }
    }

    fn begin_copy(&self, now: Timestamp, proven: Proven) -> Next {
        let effects = self.copy(&proven.digest);
        let call = self.made(now);
        (State::Copying { proven, call }, effects)
    }

    pub(super) fn step_confirming(&self, now: Timestamp, event: Event, proven: Proven, call: Call) -> Next {
        match event {
            Event::TagResolved(Some(digest)) if digest == proven.digest => self.begin_copy(now, proven),
            Event::TagResolved(Some(digest)) => refused(Reason::new(
                Cause::TagMoved,
                format!(
                    "the tag named {} and now names {}; nothing was copied",
                    proven.digest, digest
                ),
            )),
            Event::TagResolved(None) => refused(self.tag_missing()),
            Event::CallFailed(error) if call.is_under_way() => {
                self.read_failed(now, call, error, |call| State::Confirming { proven, call })
            }
            Event::Elapsed => self.read_elapsed(now, call, "resolve tag", self.resolve_again(), |call| {
                State::Confirming { proven, call }
            }),
            Event::Abort => refused(aborted("before the image was copied")),
            Event::Start
            | Event::SourceObserved(_)
            | Event::Proceed
            | Event::Copied(_)
            | Event::ReadBack(_)
            | Event::CallFailed(_) => (State::Confirming { proven, call }, Vec::new()),
        }
    }

    pub(super) fn step_copying(&self, now: Timestamp, event: Event, proven: Proven, call: Call) -> Next {
        match event {
            Event::Copied(_) => {
                let copy = Copy {
                    errors: call.errors,
                    error: None,
                };
                self.begin_read_back(now, proven, copy)
            }
            Event::CallFailed(error) if call.is_under_way() => self.copy_failed(now, proven, call, error),
            Event::Elapsed => match call.due(now) {
                Due::NotYet => (State::Copying { proven, call }, Vec::new()),
                Due::Unanswered => {
                    let error = no_answer("copy image", self.policy.answer);
                    self.copy_failed(now, proven, call, error)
                }
                Due::Repeat => {
                    let effects = self.copy(&proven.digest);
                    let call = call.repeated(now, self.policy.answer);
                    (State::Copying { proven, call }, effects)
                }
            },
            Event::Abort => failed(aborted(
                "while the image was copied; it may be in the target registry",
            )),
            Event::Start
            | Event::TagResolved(_)
            | Event::SourceObserved(_)
            | Event::Proceed
            | Event::ReadBack(_)
            | Event::CallFailed(_) => (State::Copying { proven, call }, Vec::new()),
        }
    }

    fn begin_read_back(&self, now: Timestamp, proven: Proven, copy: Copy) -> Next {
        let effects = self.read_back(&proven.digest);
        let call = self.made(now);
        (State::ReadingBack { proven, call, copy }, effects)
    }

    /// A copy that did not say that it was done. Unless it certainly did nothing, the target is read before anything else.
    fn copy_failed(&self, now: Timestamp, proven: Proven, call: Call, error: ErrorRecord) -> Next {
        match error.applied {
            Applied::Maybe | Applied::Yes => {
                let copy = Copy {
                    errors: call.errors.saturating_add(1),
                    error: Some(error),
                };
                self.begin_read_back(now, proven, copy)
            }
            Applied::No if is_final(&error, call.errors, self.policy.max_errors) => {
                failed(self.call_failed(now, &error))
            }
            Applied::No => {
                let repeat = self.repeat_at(now, &error);
                let call = call.failed(error, repeat);
                (State::Copying { proven, call }, Vec::new())
            }
        }
    }

    pub(super) fn step_reading_back(
        &self,
        now: Timestamp,
        event: Event,
        proven: Proven,
        call: Call,
        copy: Copy,
    ) -> Next {
        match event {
            Event::ReadBack(found) => self.judge(now, proven, copy, found),
            Event::CallFailed(error) if call.is_under_way() => {
                self.read_back_failed(now, proven, call, copy, error)
            }
            Event::Elapsed => match call.due(now) {
                Due::NotYet => (State::ReadingBack { proven, call, copy }, Vec::new()),
                Due::Unanswered => {
                    let error = no_answer("read back", self.policy.answer);
                    self.read_back_failed(now, proven, call, copy, error)
                }
                Due::Repeat => {
                    let effects = self.read_back(&proven.digest);
                    let call = call.repeated(now, self.policy.answer);
                    (State::ReadingBack { proven, call, copy }, effects)
                }
            },
            Event::Abort => failed(aborted(
                "before the copy was verified; it may be in the target registry",
            )),
            Event::Start
            | Event::TagResolved(_)
            | Event::SourceObserved(_)
            | Event::Proceed
            | Event::Copied(_)
            | Event::CallFailed(_) => (State::ReadingBack { proven, call, copy }, Vec::new()),
        }
    }

    fn read_back_failed(
        &self,
        now: Timestamp,
        proven: Proven,
        call: Call,
        copy: Copy,
        error: ErrorRecord,
    ) -> Next {
        if is_final(&error, call.errors, self.policy.max_errors) {
            return failed(self.call_failed(now, &error));
        }
        let repeat = self.repeat_at(now, &error);
        let call = call.failed(error, repeat);
        (State::ReadingBack { proven, call, copy }, Vec::new())
    }

    /// Compares what the target holds with what was proven.
    fn judge(&self, now: Timestamp, proven: Proven, copy: Copy, found: Option<ManifestTree>) -> Next {
        let image = self.target(&proven.digest);
        let subject = format!("{}@{}", image.repository, image.digest);
        let mismatch = |what: String| {
            let evidence = Evidence::new(now, "read back", subject.as_str(), what.as_str());
            Reason::new(Cause::DigestMismatch, format!("{subject}: {what}")).with([evidence])
        };
        let Some(tree) = found else {
            let lost = mismatch("it is not in the target registry after the copy".to_owned());
            return self.copy_again(now, proven, copy, lost);
        };
        if tree.digest != proven.digest {
            return failed(mismatch(format!("what was read back has digest {}", tree.digest)));
        }
        if !tree.missing.is_empty() {
            let missing: Vec<&str> = tree.missing.iter().map(ImageDigest::as_str).collect();
            let holes = mismatch(format!("the target registry lacks {}", missing.join(", ")));
            return if copy.error.is_none() {
                failed(holes)
            } else {
                self.copy_again(now, proven, copy, holes)
            };
        }
        let detail = format!(
            "read back as {}, {} manifests, nothing missing",
            tree.media_type,
            tree.children.len().max(1)
        );
        let mut evidence = proven.evidence;
        evidence.push(Evidence::new(now, "read back", subject, detail));
        (State::Ended(Outcome::Promoted { image, evidence }), Vec::new())
    }

    /// The image is not there, or not in full: copies once more, unless that gives the same or was tried often enough.
    fn copy_again(&self, now: Timestamp, proven: Proven, copy: Copy, why: Reason) -> Next {
        let (errors, last, repeat) = match copy.error {
            None => {
                let errors = copy.errors.saturating_add(1);
                (
                    errors,
                    errors >= self.policy.max_errors,
                    now.after(self.policy.retry_every),
                )
            }
            // This failure was counted when it came.
            Some(error) => {
                if is_final(&error, copy.errors.saturating_sub(1), self.policy.max_errors) {
                    return failed(self.call_failed(now, &error).with(why.evidence));
                }
                (copy.errors, false, self.repeat_at(now, &error))
            }
        };
        if last {
            return failed(why);
        }
        let call = Call::later(repeat, errors);
        (State::Copying { proven, call }, Vec::new())
    }
}

/// What the states share.
impl Promotion {
    fn target(&self, digest: &ImageDigest) -> ImageRef {
        ImageRef {
            repository: self.spec.to.clone(),
            digest: digest.clone(),
        }
    }

    /// When a failed call is said again. What the other side asks for counts up to the time for one answer.
    fn repeat_at(&self, now: Timestamp, error: &ErrorRecord) -> Timestamp {
        let asked = error.retry_after.unwrap_or_default().min(self.policy.answer);
        now.after(asked.max(self.policy.retry_every))
    }

    fn made(&self, now: Timestamp) -> Call {
        Call::made(now, self.policy.answer)
    }

    fn resolve(&self, tag: &ImageTag) -> Vec<Effect> {
        vec![Effect::ResolveTag {
            repository: self.spec.from.clone(),
            tag: tag.clone(),
        }]
    }

    /// Asks for the tag; nothing where the image is named by digest.
    fn resolve_again(&self) -> Vec<Effect> {
        match &self.spec.reference {
            Reference::Tag(tag) => self.resolve(tag),
            Reference::Digest(_) => Vec::new(),
        }
    }

    fn observe(&self) -> Vec<Effect> {
        vec![Effect::ObserveSource {
            service: self.spec.service.clone(),
        }]
    }

    fn copy(&self, digest: &ImageDigest) -> Vec<Effect> {
        vec![Effect::CopyImage {
            from: ImageRef {
                repository: self.spec.from.clone(),
                digest: digest.clone(),
            },
            to: self.spec.to.clone(),
        }]
    }

    fn read_back(&self, digest: &ImageDigest) -> Vec<Effect> {
        vec![Effect::ReadBack {
            image: self.target(digest),
        }]
    }

    /// The outcome of a call that failed for good.
    fn call_failed(&self, now: Timestamp, error: &ErrorRecord) -> Reason {
        Reason::new(cause_of(error), error.to_string()).with([evidence_of(
            error,
            now,
            self.spec.from.as_str(),
        )])
    }

    /// A reading call before anything was copied.
    fn read_failed(
        &self,
        now: Timestamp,
        call: Call,
        error: ErrorRecord,
        stay: impl FnOnce(Call) -> State,
    ) -> Next {
        if is_final(&error, call.errors, self.policy.max_errors) {
            refused(self.call_failed(now, &error))
        } else {
            let repeat = self.repeat_at(now, &error);
            (stay(call.failed(error, repeat)), Vec::new())
        }
    }

    /// `Elapsed` while a reading call is under way or waits to be repeated, before anything was copied.
    fn read_elapsed(
        &self,
        now: Timestamp,
        call: Call,
        operation: &str,
        again: Vec<Effect>,
        stay: impl FnOnce(Call) -> State,
    ) -> Next {
        match call.due(now) {
            Due::NotYet => (stay(call), Vec::new()),
            Due::Unanswered => self.read_failed(now, call, no_answer(operation, self.policy.answer), stay),
            Due::Repeat => (stay(call.repeated(now, self.policy.answer)), again),
        }
    }
}

fn refused(reason: Reason) -> Next {
    (State::Ended(Outcome::Refused(reason)), Vec::new())
}

fn failed(reason: Reason) -> Next {
    (State::Ended(Outcome::Failed(reason)), Vec::new())
}

fn aborted(when: &str) -> Reason {
    Reason::new(Cause::Aborted, format!("the promotion was aborted {when}"))
}

//! One request on its way there and back, with what goes wrong on the way.

use bytes::Bytes;
use http::{Request, Response};

use super::pace::Pace;
use super::route::{Lost, Routed, route};
use super::web;
use super::wire::{Upset, failed};
use super::{Endpoint, Latency};

/// A request that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It never left.
    Refused,
    /// It may have arrived.
    Reset,
}

/// An endpoint at the end of a wire.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) endpoint: Endpoint,
    pub(crate) pace: Pace,
    pub(crate) latency: Latency,
}

impl Exchange {
    pub(crate) const fn new(endpoint: Endpoint, pace: Pace, latency: Latency) -> Self {
        Self {
            endpoint,
            pace,
            latency,
        }
    }

    /// A call that asks for messages, and may wait for them, waits: until there is one, or its time is over.
    async fn wait_for_messages(&self, routed: &Result<Routed, Box<Lost>>) {
        let Some(until) = self.endpoint.waits_until(routed) else {
            return;
        };
        while let Some(again) = self.endpoint.waits_for(routed, until) {
            self.pace.sleep(again).await;
            self.pace.catch_up();
        }
    }

    /// Sends a request: it arrives after the way there, and its answer after the way back.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Broken> {
        let (there, back) = self.endpoint.draw(self.latency);
        self.pace.sleep(there).await;
        self.pace.catch_up();
        if let Some(url) = web::url(&request) {
            let visit = self.pace.cloud().lock().visit(&url);
            if let Some(visit) = visit {
                self.pace.sleep(visit.took + back).await;
                return Ok(web::response(visit));
            }
            if !web::may_be_api(&url) {
                return Err(Broken::Refused);
            }
        }
        let routed = route(&request);
        let upset = self.endpoint.meet(&routed);
        if upset.is_none() {
            self.wait_for_messages(&routed).await;
        }
        let answer = |upset: Option<Upset>| self.endpoint.deliver(&routed, upset);
        let answer = match upset {
            Some(Upset::Unreachable) => {
                self.endpoint.note_lost(&routed, Upset::Unreachable);
                return Err(Broken::Refused);
            }
            Some(Upset::ResetBefore) => {
                self.endpoint.note_lost(&routed, Upset::ResetBefore);
                return Err(Broken::Reset);
            }
            Some(Upset::LostAnswer) => {
                let _ = answer(upset);
                self.pace.sleep(back).await;
                return Err(Broken::Reset);
            }
            Some(Upset::Twice) => {
                let _ = answer(upset.clone());
                answer(upset)
            }
            Some(Upset::AnswersLate(span)) => {
                let answer = answer(upset);
                self.pace.sleep(span).await;
                answer
            }
            Some(Upset::LandsLate(span)) => {
                let this = self.clone();
                // Apart from the caller, who may give up: it lands all the same.
                let landing = tokio::spawn(async move {
                    this.pace.sleep(span).await;
                    this.pace.catch_up();
                    this.endpoint
                        .deliver(&route(&request), Some(Upset::LandsLate(span)))
                });
                landing.await.map_err(|_| Broken::Reset)?
            }
            Some(Upset::FailsAfter(status)) => {
                let _ = answer(upset);
                self.endpoint.refuse(&routed, &failed(status))
            }
            None
            | Some(
                Upset::Throttled
                | Upset::Refused { .. }
                | Upset::FailsBefore(_)
                | Upset::Stale(_)
                | Upset::Damaged(_),
            ) => answer(upset),
        };
        self.pace.sleep(back).await;
        Ok(answer)
    }
}

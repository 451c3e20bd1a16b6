//! A store in memory with a network in front of it, on which calls go wrong, one by one as scripted or all of them.

use core::fmt;
use core::future::pending;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How one put goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It takes effect, and its answer is lost.
    LostAfter,
    /// It takes effect, its answer is lost, and so is that of every read after it.
    LostAfterAndBlind,
    /// It never arrives.
    LostBefore,
    /// Its answer is lost, and it takes effect when the next put has come.
    LandsLater,
    /// It takes effect; a layer below repeats it, and is told that it is there (412).
    RepeatedBelow,
    /// Another write was under way that came to nothing (409).
    ConflictOfNothing,
    /// No permission.
    Denied,
    /// Nothing ever comes back.
    Hangs,
    /// The condition of a first write is not looked at.
    IgnoresCreate,
    /// The condition of a later write is not looked at.
    IgnoresUpdate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) puts: u32,
    pub(super) gets: u32,
    pub(super) lists: u32,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Fault>,
    always: Option<Fault>,
    blind: bool,
    late: Option<(Path, PutPayload, PutOptions)>,
    counts: Counts,
    /// The store takes so many bytes more.
    room: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Faulty {
    store: InMemory,
    state: Mutex<State>,
}

impl Faulty {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            store: InMemory::new(),
            state: Mutex::default(),
        })
    }

    pub(super) fn always(fault: Fault) -> Arc<Self> {
        let store = Self::new();
        store.set(Some(fault));
        store
    }

    pub(super) fn set(&self, fault: Option<Fault>) {
        self.lock().always = fault;
    }

    pub(super) fn script(&self, faults: &[Fault]) {
        self.lock().script.extend(faults);
    }

    pub(super) fn cramp(&self, bytes: usize) {
        self.lock().room = Some(bytes);
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a put, and says how it goes and what lands before it.
    fn arrives(&self, bytes: usize) -> (Option<Fault>, Option<(Path, PutPayload, PutOptions)>) {
        let mut state = self.lock();
        state.counts.puts += 1;
        let fault = state.script.pop_front().or(state.always);
        if let Some(room) = &mut state.room {
            match room.checked_sub(bytes) {
                Some(left) => *room = left,
                None => return (Some(Fault::LostBefore), None),
            }
        }
        (fault, state.late.take())
    }
}

fn lost() -> Error {
    Error::Generic {
        store: "test",
        source: "no answer".into(),
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        place: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        let path = place.to_string();
        let source = || "as asked".into();
        let (fault, late) = self.arrives(payload.content_length());
        if let Some((place, payload, options)) = late {
            self.store.put_opts(&place, payload, options).await?;
        }
        match fault {
            None => {}
            Some(Fault::LostBefore) => return Err(lost()),
            Some(Fault::Denied) => {
                return Err(Error::PermissionDenied {
                    path,
                    source: source(),
                });
            }
            Some(Fault::ConflictOfNothing) => {
                return Err(Error::AlreadyExists {
                    path,
                    source: source(),
                });
            }
            Some(Fault::Hangs) => return pending().await,
            Some(Fault::LandsLater) => {
                self.lock().late = Some((place.clone(), payload, options));
                return Err(lost());
            }
            Some(Fault::LostAfter | Fault::LostAfterAndBlind) => {
                self.store.put_opts(place, payload, options).await?;
                self.lock().blind = fault == Some(Fault::LostAfterAndBlind);
                return Err(lost());
            }
            Some(Fault::RepeatedBelow) => {
                self.store.put_opts(place, payload, options).await?;
                return Err(Error::AlreadyExists {
                    path,
                    source: source(),
                });
            }
            Some(Fault::IgnoresCreate) => options.mode = PutMode::Overwrite,
            Some(Fault::IgnoresUpdate) => {
                if matches!(options.mode, PutMode::Update(_)) {
                    options.mode = PutMode::Overwrite;
                }
            }
        }
        self.store.put_opts(place, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        place: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(place, options).await
    }

    async fn get_opts(&self, place: &Path, options: GetOptions) -> Result<GetResult> {
        {
            let mut state = self.lock();
            state.counts.gets += 1;
            if state.blind {
                return Err(lost());
            }
        }
        self.store.get_opts(place, options).await
    }

    fn delete_stream(&self, places: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(places)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lock().counts.lists += 1;
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

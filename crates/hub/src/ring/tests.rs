//! What a log promises: durable, in order, bounded, whole after a torn end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Mutex;

use super::*;

const SMALL: Bounds = Bounds { segment_octets: 256, segments: 3 };

#[derive(Default)]
struct Told {
    found: Mutex<Vec<Vec<u8>>>,
    placed: Mutex<Vec<(Position, String)>>,
    oldest: Mutex<Option<Position>>,
}

impl Index for Told {
    fn found(&self, _: Position, record: &[u8]) {
        self.found.lock().unwrap().push(record.to_vec());
    }

    fn placed(&self, at: Position, name: &str) {
        self.placed.lock().unwrap().push((at, name.to_owned()));
    }

    fn forget_before(&self, oldest: Position) {
        *self.oldest.lock().unwrap() = Some(oldest);
    }
}

fn open(directory: &Path) -> (Ring, Arc<Told>) {
    let told = Arc::new(Told::default());
    let index: Arc<dyn Index> = Arc::<Told>::clone(&told);
    (Ring::open(directory, "test", SMALL, Stop::default(), index).unwrap(), told)
}

impl Told {
    fn found(&self) -> Vec<Vec<u8>> {
        self.found.lock().unwrap().clone()
    }
}

fn all(ring: &Ring) -> Vec<Vec<u8>> {
    let mut at = Position::START;
    let mut found = Vec::new();
    while let Some((_, record, next)) = ring.next(at).unwrap() {
        found.push(record);
        at = next;
    }
    found
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let (ring, before) = open(directory.path());
    assert!(before.found().is_empty());
    let mut positions = Vec::new();
    for n in 0..5_u8 {
        positions.push(ring.append("n".into(), Bytes::from(vec![n; 20])).await.unwrap());
    }
    assert!(positions.is_sorted());
    for (n, at) in positions.iter().enumerate() {
        assert_eq!(ring.read(*at).unwrap().unwrap(), vec![n as u8; 20]);
    }
    drop(ring);
    let (ring, told) = open(directory.path());
    let seen = told.found();
    assert_eq!(seen, (0..5_u8).map(|n| vec![n; 20]).collect::<Vec<_>>());
    assert_eq!(all(&ring), seen);
    assert_eq!(ring.read(positions[3]).unwrap().unwrap(), vec![3; 20]);
}

#[tokio::test]
async fn the_oldest_goes_when_the_bound_is_reached_and_records_wider_than_a_segment_stand_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (ring, told) = open(directory.path());
    let first = ring.append("n".into(), Bytes::from_static(b"first")).await.unwrap();
    for n in 0..40_u8 {
        ring.append("n".into(), Bytes::from(vec![n; 60])).await.unwrap();
    }
    let wide = ring.append("n".into(), Bytes::from(vec![9; 1000])).await.unwrap();
    assert_eq!(ring.read(first).unwrap(), None);
    assert_eq!(ring.read(wide).unwrap().unwrap().len(), 1000);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), SMALL.segments);
    let kept = all(&ring);
    assert_eq!(kept.last().unwrap().len(), 1000);
    assert_eq!(kept[0], vec![36; 60], "three records a segment, and the last segment is the wide one's alone");
    assert!(told.oldest.lock().unwrap().unwrap() > first);
    let placed = told.placed.lock().unwrap();
    assert_eq!((placed.len(), placed.is_sorted()), (42, true));
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_the_log_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (ring, _) = open(directory.path());
    ring.append("n".into(), Bytes::from_static(b"whole")).await.unwrap();
    drop(ring);
    let file = segment::numbers(directory.path()).unwrap()[0];
    let path = directory.path().join(format!("{file:012}.log"));
    let whole = std::fs::read(&path).unwrap();
    for torn in [&whole[..whole.len() - 1], &[0; 32][..], &[0xff; 40][..]] {
        std::fs::write(&path, [&whole[..], torn].concat()).unwrap();
        let (ring, told) = open(directory.path());
        assert_eq!(told.found(), [b"whole".to_vec()]);
        ring.append("n".into(), Bytes::from_static(b"after")).await.unwrap();
        assert_eq!(all(&ring), [b"whole".to_vec(), b"after".to_vec()]);
        drop(ring);
    }
}

#[tokio::test]
async fn many_at_once_are_each_answered_with_their_own_place() {
    let directory = tempfile::tempdir().unwrap();
    let (ring, _) = open(directory.path());
    let tasks: Vec<_> = (0..12_u8)
        .map(|n| {
            let ring = ring.clone();
            tokio::spawn(async move { (n, ring.append("n".into(), Bytes::from(vec![n; 4])).await.unwrap()) })
        })
        .collect();
    for task in tasks {
        let (n, at) = task.await.unwrap();
        assert_eq!(ring.read(at).unwrap().unwrap(), vec![n; 4]);
    }
    let too_large = ring.append("n".into(), Bytes::from(vec![0; MAX_RECORD + 1])).await.unwrap_err();
    assert_eq!(too_large.reason(), "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_says_so_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("log");
    let (ring, _) = open(&folder);
    // The segment that is being written is still open; the next one has no place.
    std::fs::remove_dir_all(&folder).unwrap();
    let record = || Bytes::from(vec![7; 60]);
    let mut refused = None;
    for _ in 0..10 {
        refused = ring.append("n".into(), record()).await.err();
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused.unwrap().reason(), "LOG_FAILED");
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(ring.append("n".into(), record()).await.unwrap_err().reason(), "LOG_FAILED", "never on the same handle");
}

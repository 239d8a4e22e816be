//! Folders that the demo made, once for each number of hops.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::run::countersign;

/// The folder of a demo with so many hops and two devices.
pub(crate) fn demo(hops: usize) -> PathBuf {
    // Held while a demo runs, so that two tests do not make the same one.
    static MADE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("command-{hops}-hops"));
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !made.contains(&hops) {
        // What an earlier run left would be replayed.
        let _ = fs::remove_dir_all(&folder);
        let (out, hops_text) = (folder.to_str().unwrap(), hops.to_string());
        let ended = countersign(&["demo", "--out", out, "--devices", "2", "--hops", &hops_text, "-o", "json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let on_disk: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(ended.json(), on_disk, "standard output is the manifest and nothing else");
        made.push(hops);
    }
    folder
}

/// A path inside, as an argument.
pub(crate) fn inside(folder: &Path, name: &str) -> String {
    folder.join(name).into_os_string().into_string().unwrap()
}

//! Room for connections: each takes one of the files that the operating system lets a process have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a hub has open beside connections: its store, its logs, the mailbox that is being written, its listeners.
const BESIDE_CONNECTIONS: u64 = 256;

/// What is to be done about the limit on open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decision {
    /// The limit to ask for; None: the one in force is enough, or there is no more to be had.
    raise_to: Option<u64>,
    /// How many fewer connections than configured there is room for.
    short_by: u64,
}

/// Raises this process's limit on open files (RLIMIT_NOFILE) as far as so many connections need it, and says in the log when that is
/// more than the process may have.
pub(crate) fn make_room(connections: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = connections.saturating_add(BESIDE_CONNECTIONS);
    let decision = decide(current, maximum, wanted);
    if let Some(limit) = decision.raise_to {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }) {
            Ok(()) => tracing::info!(limit, before = current, "limit on open files raised"),
            Err(error) => return too_few(current.unwrap_or(u64::MAX), wanted, &error.to_string()),
        }
    }
    if decision.short_by > 0 {
        too_few(wanted.saturating_sub(decision.short_by), wanted, "the hard limit is reached");
    }
}

/// None stands for no limit.
fn decide(current: Option<u64>, maximum: Option<u64>, wanted: u64) -> Decision {
    let Some(current) = current else { return Decision { raise_to: None, short_by: 0 } };
    let reachable = maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(current);
    Decision { raise_to: (reachable > current).then_some(reachable), short_by: wanted.saturating_sub(reachable) }
}

fn too_few(limit: u64, wanted: u64, problem: &str) {
    tracing::warn!(reason = "OPEN_FILES_TOO_FEW", limit, wanted, problem, "fewer connections than configured will fit");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_needed_and_what_is_missing_is_known() {
        let decided = |current, maximum, wanted| {
            let Decision { raise_to, short_by } = decide(current, maximum, wanted);
            (raise_to, short_by)
        };
        assert_eq!(decided(Some(1024), Some(4096), 500), (None, 0), "enough as it is");
        assert_eq!(decided(Some(1024), Some(4096), 2000), (Some(2000), 0), "no more than needed");
        assert_eq!(decided(Some(1024), Some(4096), 10_000), (Some(4096), 5904), "up to the hard limit");
        assert_eq!(decided(Some(4096), Some(4096), 10_000), (None, 5904));
        assert_eq!(decided(Some(1024), None, 10_000), (Some(10_000), 0));
        assert_eq!(decided(None, None, 10_000), (None, 0));
    }
}

//! `countersign restore`: a store made of a backup, which says in its own journal that it is one.

use std::{
    io::{IsTerminal as _, stderr},
    process::ExitCode,
    sync::Arc,
};

use records::restored_unit;
use serde_json::json;
use service::{Clock as _, SystemClock};
use store::{Options, Progress, StoreCopy, StoreError, lay_down};

use crate::{
    args::{Output, RestoreArgs},
    failure::Failure,
};

/// Checks the backup, lays it down, builds the index.
pub(crate) fn run(args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let refused = |error: StoreError| Failure::by_reason(error.reason(), &error);
    let copy = StoreCopy::kept(&args.backup).map_err(refused)?;
    let (identity, end) = (copy.identity.clone(), copy.head);
    let (service, manufacturer) = (identity.service(), identity.manufacturer());
    let mark = restored_unit(SystemClock.now(), service, manufacturer, end).map_err(|r| Failure::refused(&r))?;
    let progress = |at: Progress| eprintln!("journal read up to {} of {}", at.position, at.end);
    let options = Options {
        progress: stderr().is_terminal().then(|| Arc::new(progress) as Arc<dyn Fn(Progress) + Send + Sync>),
        ..Options::default()
    };
    lay_down(&args.into, &identity, end, copy, mark, options).map_err(refused)?;
    let into = args.into.display();
    match args.output {
        Output::Text => println!(
            "{into}: the store of the {service} of {manufacturer}, as it was at {} octets of journal\n\
             What came after that is not in it: docs/recovery.md says how to go on.",
            end.position
        ),
        Output::Json => println!(
            "{}",
            json!({
                "store": args.into,
                "service": service,
                "manufacturer": manufacturer,
                "restored_at": end.position.as_u64(),
            })
        ),
    }
    Ok(ExitCode::SUCCESS)
}

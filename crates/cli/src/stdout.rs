//! Standard output, as a pipe sees it.

use std::{
    fmt,
    io::{self, Write as _},
    process,
};

/// Prints a line at once, like `println!`, also into a pipe. A reader that went away (`countersign explain --list | head`) is no
/// failure; an answer that cannot be written for another reason ends the command.
macro_rules! say {
    () => { $crate::stdout::line(format_args!("")) };
    ($($words:tt)*) => { $crate::stdout::line(format_args!($($words)*)) };
}

pub(crate) use say;

/// What [`say`] does.
pub(crate) fn line(words: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{words}").and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("error[SETUP_FAILED]: cannot write to standard output: {error}");
        process::exit(3);
    }
}

//! Why: every judgement is kept, each refusal with what was presented, and told in words.

mod log;
mod words;

pub(crate) use log::JudgementLog;
pub(crate) use words::explained;

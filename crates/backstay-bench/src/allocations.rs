//! `allocations`: what each layer of the backstay stack allocates, so that each can be accounted for.

use crate::{case::Case, counting, row::Row, stacks};
use tower::BoxError;

/// What to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One JSON object per figure instead of tables
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), BoxError> {
    for case in [Case::Ready, Case::PendingOnce] {
        of_case(case, options)?;
    }
    Ok(())
}

fn of_case(case: Case, options: &Options) -> Result<(), BoxError> {
    let runtime = stacks::runtime(false)?;
    if !options.json {
        println!("{} (per call)", case.name());
        println!(
            "  {:<12} {:>8} {:>8} {:>8} {:>8}",
            "+ layer", "allocs", "added", "bytes", "added"
        );
    }
    let mut inner = counting::Allocated::default();
    for mut subject in stacks::layer_by_layer(&runtime, case, 0)? {
        let all = counting::per_call(&mut subject)?;
        if options.json {
            for (unit, value) in [("allocs/call", all.count), ("bytes/call", all.bytes)] {
                Row {
                    bench: "allocations",
                    case: case.name(),
                    subject: subject.name(),
                    unit,
                    value,
                }
                .print()?;
            }
        } else {
            println!(
                "  {:<12} {:>8.2} {:>8.2} {:>8.0} {:>8.0}",
                subject.name(),
                all.count,
                all.count - inner.count,
                all.bytes,
                all.bytes - inner.bytes
            );
        }
        inner = all;
    }
    if !options.json {
        println!();
    }
    Ok(())
}

//! How long a caller says that it waits, and how long it is told that there is, whatever the headers hold.

#![no_main]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::LazyLock,
};

use backstay::{
    Deadline, Timeouts,
    deadline::{DeadlineHeader, ReadLimitHeader, TimeForm},
    inbound::{Inbound, InboundLayer},
    outbound::{Outbound, OutboundLayer},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tokio::{
    runtime::{Builder, Runtime},
    time::Duration,
};
use tower::{Layer, Service, service_fn};

/// The line of the input that each header's value is in. The line before them has the numbers in the order of
/// `Numbers`.
const NAMES: [&str; 8] = [
    "grpc-timeout",
    "connect-timeout-ms",
    "x-envoy-expected-rq-timeout-ms",
    "request-timeout",
    "request-timeout",
    "x-in-whole-seconds",
    "x-stainless-timeout",
    "x-stainless-read-timeout",
];

/// Of every form, and a name of the user's own.
const DEADLINES: [DeadlineHeader; 5] = [
    DeadlineHeader::GRPC_TIMEOUT,
    DeadlineHeader::CONNECT_TIMEOUT_MS,
    DeadlineHeader::ENVOY_EXPECTED_RQ_TIMEOUT_MS,
    DeadlineHeader::REQUEST_TIMEOUT,
    DeadlineHeader::new(
        HeaderName::from_static("x-in-whole-seconds"),
        TimeForm::WholeSeconds,
    ),
];

const FORMS: [TimeForm; 4] = [
    TimeForm::Grpc,
    TimeForm::Millis,
    TimeForm::Seconds,
    TimeForm::WholeSeconds,
];

const SECOND: u128 = 1_000_000_000;

/// A clock that stands still, so that times can be compared to the nanosecond.
static CLOCK: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    let built = builder.enable_time().start_paused(true).build();
    built.unwrap_or_else(|error| panic!("no runtime: {error}"))
});

/// What the settings are, and what there is to tell.
struct Numbers {
    budget: Duration,
    at_least: Duration,
    at_most: Duration,
    read_limit_at_most: Duration,
    left: Duration,
    margin: Duration,
}

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(NAMES.len() + 1, |&byte| byte == b'\n');
    let numbers = Numbers::read(lines.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    for (name, line) in NAMES.into_iter().zip(lines) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            headers.append(name, value);
        }
    }
    let _guard = CLOCK.enter();
    read(&headers);
    granted(&headers, &numbers);
    written(numbers.left);
    told(&headers, &numbers);
});

/// Each form reads what is exactly of it, to the nanosecond, and nothing else.
fn read(headers: &HeaderMap) {
    for value in headers.values() {
        for form in FORMS {
            let read = form.parse(value.as_bytes());
            assert_eq!(read, plainly(form, value.as_bytes()), "{form:?}: {value:?}");
            if let Some(read) = read {
                written(read);
            }
        }
    }
}

/// A server grants what the shortest header says, within its bounds, and believes no SDK's read limit for a
/// deadline.
fn granted(headers: &HeaderMap, numbers: &Numbers) {
    let settings = Inbound::new(numbers.budget)
        .at_least(numbers.at_least)
        .at_most(numbers.at_most)
        .read_limit_at_most(numbers.read_limit_at_most);
    let Ok(layer) = InboundLayer::new(believing(settings)) else {
        return assert!(numbers.can_never_work());
    };
    assert!(!numbers.can_never_work());
    let (deadline, timeouts) = seen_inside(&layer, headers);

    let budget = match told_by(headers) {
        Some(told) => told.min(numbers.at_most).max(numbers.at_least),
        None => numbers.budget,
    };
    assert_eq!(deadline, Deadline::after(budget));

    let limits = ReadLimitHeader::KNOWN
        .into_iter()
        .filter_map(|header| shortest(headers, header.name(), TimeForm::Seconds));
    let expected = limits.min().map(|limit| {
        let limit = limit.min(numbers.read_limit_at_most);
        let limit = limit.max(Duration::from_secs(1));
        Timeouts::new().headers(limit).idle(limit)
    });
    assert_eq!(timeouts, expected);
}

/// What is written is read back as no more than it was, and as less by less than a unit.
fn written(left: Duration) {
    for form in FORMS {
        let value = form.format(left);
        let Some(back) = form.parse(value.as_bytes()) else {
            panic!("{form:?} does not read {value:?}")
        };
        assert!(back <= left, "{form:?}: {left:?} as {value:?}");
        let (unit, largest) = unit_and_largest(form, left);
        let lost = (left - back).as_nanos();
        let is_close = lost < unit || back.as_nanos() == largest;
        assert!(is_close, "{form:?}: {left:?} as {value:?}");
        assert_eq!(back.is_zero(), left < form.least());
    }
}

/// Whoever is called is told what there is less the margin, or the least; a server grants no more for it; and
/// nobody else hears a word.
fn told(headers: &HeaderMap, numbers: &Numbers) {
    let settings = Outbound::new().to("told.test").margin(numbers.margin);
    let settings = DEADLINES.into_iter().fold(settings, Outbound::header);
    let layer = OutboundLayer::new(settings).unwrap_or_else(|error| panic!("{error}"));
    let deadline = Deadline::after(numbers.left);
    let told = sent(&layer, "http://told.test/", headers, deadline);
    let others = [
        sent(&layer, "http://other.test/", headers, deadline),
        sent(&layer, "http://told.test/", headers, Deadline::NEVER),
    ];
    for sent in others.iter().chain([&told]) {
        for limit in ReadLimitHeader::KNOWN {
            let before = headers.get_all(limit.name());
            assert!(before.iter().eq(sent.get_all(limit.name())));
        }
    }
    for header in &DEADLINES {
        assert!(others.iter().all(|sent| !sent.contains_key(header.name())));
    }
    if deadline == Deadline::NEVER {
        return assert!(
            DEADLINES
                .iter()
                .all(|header| !told.contains_key(header.name()))
        );
    }
    let there_is = numbers.left.saturating_sub(numbers.margin);
    for header in &DEADLINES {
        let form = header.form();
        let most = there_is.max(form.least());
        assert_eq!(told.get_all(header.name()).iter().count(), 1);
        assert_eq!(told.get(header.name()), Some(&form.format(most)));
        let said = shortest(&told, header.name(), form);
        assert!(said.is_some_and(|said| !said.is_zero() && said <= most));
    }
    let Ok(layer) = InboundLayer::new(believing(Inbound::new(Duration::MAX))) else {
        panic!("no bound is wrong")
    };
    let (granted, _) = seen_inside(&layer, &told);
    let most = there_is.max(Duration::from_millis(1));
    assert_eq!(granted.earlier(Deadline::after(most)), granted);
}

fn believing(settings: Inbound) -> Inbound {
    let settings = DEADLINES.into_iter().fold(settings, Inbound::believe);
    ReadLimitHeader::KNOWN
        .into_iter()
        .fold(settings, Inbound::believe_read_limit)
}

/// What a handler finds in the extensions of a request with these headers.
fn seen_inside(layer: &InboundLayer, headers: &HeaderMap) -> (Deadline, Option<Timeouts>) {
    let mut seen = None;
    let handler = service_fn(|request: Request<()>| {
        let extensions = request.extensions();
        seen = Some((
            extensions.get::<Deadline>().copied(),
            extensions.get::<Timeouts>().copied(),
        ));
        nothing()
    });
    let mut request = Request::new(());
    *request.headers_mut() = headers.clone();
    drop(layer.layer(handler).call(request));
    match seen {
        Some((Some(deadline), timeouts)) => (deadline, timeouts),
        other => panic!("{other:?}"),
    }
}

/// The headers of an attempt that has this deadline, as they are sent.
fn sent(layer: &OutboundLayer, to: &'static str, headers: &HeaderMap, by: Deadline) -> HeaderMap {
    let mut sent = None;
    let client = service_fn(|request: Request<()>| {
        sent = Some(request.into_parts().0.headers);
        nothing()
    });
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_static(to);
    *request.headers_mut() = headers.clone();
    request.extensions_mut().insert(by);
    drop(layer.layer(client).call(request));
    sent.unwrap_or_else(|| panic!("nothing was sent"))
}

fn nothing() -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    ready(Ok(Response::new(Full::default())))
}

fn told_by(headers: &HeaderMap) -> Option<Duration> {
    DEADLINES
        .iter()
        .filter_map(|header| shortest(headers, header.name(), header.form()))
        .min()
}

fn shortest(headers: &HeaderMap, name: &HeaderName, form: TimeForm) -> Option<Duration> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| plainly(form, value.as_bytes()))
        .min()
}

/// The same by another way: the digits as one long number.
fn plainly(form: TimeForm, value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    let (number, nanos, most) = match form {
        TimeForm::Grpc => {
            let at = text.len().checked_sub(1)?;
            let (number, unit) = text.split_at_checked(at)?;
            (number, nanos_of(unit)?, 8)
        }
        TimeForm::Millis => (text, 1_000_000, 10),
        _ => (text, SECOND, 10),
    };
    let is_broken = matches!(form, TimeForm::Seconds | TimeForm::WholeSeconds);
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if is_broken => (whole, Some(fraction)),
        _ => (number, None),
    };
    let is_number = |text: &str, most| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(whole, most) || fraction.is_some_and(|fraction| !is_number(fraction, 20)) {
        return None;
    }
    // Nine digits behind the point, which is then left out.
    let digits = format!("{whole}{:0<9.9}", fraction.unwrap_or_default());
    let billionths: u128 = digits.parse().ok()?;
    Some(duration(billionths * nanos / SECOND))
}

fn nanos_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "S" => SECOND,
        "M" => 60 * SECOND,
        "H" => 3_600 * SECOND,
        _ => return None,
    })
}

/// The unit in which a form writes a duration, and the longest that it can write, in nanoseconds.
fn unit_and_largest(form: TimeForm, left: Duration) -> (u128, u128) {
    match form {
        TimeForm::Grpc => {
            let units = ["n", "u", "m", "S", "M", "H"]
                .into_iter()
                .filter_map(nanos_of);
            let largest = 99_999_999 * 3_600 * SECOND;
            // Eight digits are enough for it.
            let finest = units
                .into_iter()
                .find(|unit| left.as_nanos() / unit < 100_000_000);
            (finest.unwrap_or(0), largest)
        }
        TimeForm::Millis => (1_000_000, 9_999_999_999 * 1_000_000),
        // Seconds with more digits keep their fraction.
        TimeForm::Seconds => {
            let millis = u128::from(left.subsec_millis()) * 1_000_000;
            (1_000_000, 9_999_999_999 * SECOND + millis)
        }
        _ => (SECOND, 9_999_999_999 * SECOND),
    }
}

fn duration(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % SECOND) as u32)
}

// === impl Numbers ===

impl Numbers {
    /// Nanoseconds with blanks between them; what is left out, or no number, has a default.
    fn read(line: &[u8]) -> Self {
        let mut words = line.split(|&byte| byte == b' ');
        let mut next = |default: Duration| match words.next().map(std::str::from_utf8) {
            Some(Ok("never")) => Duration::MAX,
            Some(Ok(word)) => word.parse().map_or(default, duration),
            _ => default,
        };
        let budget = next(Duration::from_secs(30));
        Self {
            budget,
            at_least: next(Duration::from_millis(1)),
            at_most: next(budget),
            read_limit_at_most: next(Duration::from_secs(600)),
            left: next(Duration::from_secs(20)),
            margin: next(Duration::from_millis(10)),
        }
    }

    /// What a build refuses.
    fn can_never_work(&self) -> bool {
        self.budget.is_zero()
            || self.at_most.is_zero()
            || self.at_least > self.at_most
            || self.read_limit_at_most < Duration::from_secs(1)
    }
}

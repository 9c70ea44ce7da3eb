//! What an answer of the world means for an edit that was sent.
//!
//! This room owns the one closed list of outcomes and the table from answer to outcome. It never retries and never
//! waits: `backoff` says when, `outbox` says what is next.

use super::{
    error::{Code, Fault},
    id::decimal,
    lifecycle::Action,
};

/// What came back for one request, as facts. `B` is a parsed JSON body.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<B> {
    /// The server answered.
    Response(Response<B>),
    /// `fetch` rejected: network, DNS, TLS, CORS and blockers all look alike.
    Unreachable {
        /// What the browser said.
        message: String,
    },
    /// No complete answer within the timeout.
    TimedOut,
    /// The headers came, the body broke off.
    Cut,
}

/// A server's answer, as facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Response<B> {
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// What the body was.
    pub body: Body<B>,
    /// The body's text for a status of 400 and more, at most 64 KiB of it: shown as the reason of a parked edit.
    pub text: Option<String>,
    /// The header `Retry-After` in whole seconds, as text.
    pub retry_after: Option<String>,
    /// The header `Location`, as it came.
    pub location: Option<String>,
    /// What tells this state of the row from others: for HTTP the header `ETag`, else `Last-Modified`, as it came.
    pub version: Option<String>,
    /// What a refusal calls itself: the `type` or `code` of its body, which stand for a kind of problem (RFC 9457 §3.1.1).
    pub problem: Option<String>,
    /// What a transporter said in place of a server; `status` is then the one that comes nearest.
    pub said: Option<Said>,
}

/// The words of a transporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What was wrong.
    pub message: String,
    /// The status that it gave, if it gave one.
    pub status: Option<u16>,
}

/// What the body of an answer was.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<B> {
    /// No bytes, or a status that has no body.
    Empty,
    /// JSON (`application/json` or `…+json`).
    Json(B),
    /// A JSON media type over something that is not JSON.
    Malformed,
    /// Another media type, or an answer from another origin: not the API's own answer.
    Foreign,
    /// More bytes than the cap; reading was given up.
    TooLarge,
}

/// What an answer means for the edit that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has it.
    Applied,
    /// The server may have it: ask again with the same key.
    Unknown,
    /// The server has not taken it, and may later.
    Later,
    /// As `Later`, for the whole origin, which said how long.
    OriginLater,
    /// The server was not reached; it may have been, for what the browser tells.
    Unreachable,
    /// Something between here and the server answered in its stead.
    Intercepted,
    /// The origin wants credentials.
    Unauthorized,
    /// The server holds something that contradicts it: read the item, then decide.
    Conflict,
    /// The server takes it only from somebody who says which state of the row is meant: read the item, then send it again.
    Preconditions,
    /// Refused: kept until somebody decides.
    Parked(Code),
}

/// Statuses and what they mean for a write, the first that fits. What is not listed below 400 is parked as a bad
/// answer, what is not listed from 400 on as rejected.
///
/// Source: RFC 9110 §15, RFC 6585; the project's table of outcomes.
pub const WRITES: [(u16, u16, Outcome); 17] = [
    (200, 299, Outcome::Applied),
    (300, 399, Outcome::Parked(Code::BadAnswer)),
    (401, 401, Outcome::Unauthorized),
    (404, 404, Outcome::Parked(Code::NotFound)),
    (407, 407, Outcome::Unauthorized),
    (408, 408, Outcome::Later),
    (409, 409, Outcome::Conflict),
    (410, 410, Outcome::Parked(Code::NotFound)),
    (412, 412, Outcome::Conflict),
    (421, 421, Outcome::Later),
    (425, 425, Outcome::Later),
    (428, 428, Outcome::Preconditions),
    (429, 429, Outcome::OriginLater),
    (501, 501, Outcome::Parked(Code::Rejected)),
    (503, 503, Outcome::OriginLater),
    (507, 507, Outcome::OriginLater),
    (511, 511, Outcome::Intercepted),
];

/// What the answer to a write means.
#[must_use]
pub fn judge_write<B>(action: Action, answer: &Answer<B>) -> Outcome {
    let response = match answer {
        Answer::Unreachable { .. } => return Outcome::Unreachable,
        Answer::TimedOut | Answer::Cut => return Outcome::Unknown,
        Answer::Response(response) => response,
    };
    match (judge_status(response.status), &response.body) {
        (Outcome::Applied, Body::Foreign) => Outcome::Intercepted,
        (Outcome::Applied, Body::Malformed) => Outcome::Unknown,
        (Outcome::Parked(Code::NotFound), _) => match action {
            Action::Create => Outcome::Parked(Code::NotFound),
            Action::Update => Outcome::Parked(Code::GoneRemotely),
            Action::Delete => Outcome::Applied,
        },
        (Outcome::Conflict, _) if is_in_progress(response) => Outcome::Later,
        // There is nothing yet whose state could be meant.
        (Outcome::Preconditions, _) if action == Action::Create => Outcome::Parked(Code::Rejected),
        (outcome, _) => outcome,
    }
}

/// Whether a 409 says that the first request with the same key has not come to its end: by a `Retry-After`, or by the kind of
/// problem that it names (draft-ietf-httpapi-idempotency-key-header §2.7). What prose says counts for nothing.
fn is_in_progress<B>(response: &Response<B>) -> bool {
    let names_the_key =
        |problem: &String| problem.as_bytes().windows(11).any(|part| part.eq_ignore_ascii_case(b"idempotency"));
    response.status == 409 && (response.retry_after.is_some() || response.problem.as_ref().is_some_and(names_the_key))
}

/// What the status alone means, for a write or a read.
#[must_use]
pub fn judge_status(status: u16) -> Outcome {
    let listed = WRITES.iter().find(|(from, to, _)| (*from..=*to).contains(&status));
    listed.map_or_else(
        || if status >= 500 { Outcome::Unknown } else { Outcome::Parked(Code::Rejected) },
        |(_, _, outcome)| *outcome,
    )
}

/// What the answer to a read means. `Applied`: its rows can be used; `Parked`: the read has failed for good.
#[must_use]
pub fn judge_read<B>(answer: &Answer<B>) -> Outcome {
    let response = match answer {
        Answer::Unreachable { .. } => return Outcome::Unreachable,
        Answer::TimedOut | Answer::Cut => return Outcome::Unknown,
        Answer::Response(response) => response,
    };
    match (judge_status(response.status), &response.body) {
        (Outcome::Applied, Body::Json(_)) => Outcome::Applied,
        (Outcome::Applied, Body::Foreign) => Outcome::Intercepted,
        (Outcome::Applied, Body::Malformed) => Outcome::Unknown,
        (Outcome::Applied, Body::TooLarge) => Outcome::Parked(Code::TooLarge),
        (Outcome::Applied, Body::Empty) => Outcome::Parked(Code::BadAnswer),
        // A read contradicts nothing.
        (Outcome::Conflict | Outcome::Preconditions, _) => Outcome::Parked(Code::Rejected),
        (outcome, _) => outcome,
    }
}

/// What the page is told about an answer that was not `Applied`. Never carries a request's headers or body.
#[must_use]
pub fn fault<B>(outcome: Outcome, answer: &Answer<B>) -> Fault {
    let code = match outcome {
        Outcome::Applied | Outcome::Unknown | Outcome::Later | Outcome::OriginLater => match answer {
            Answer::TimedOut | Answer::Cut => Code::Timeout,
            Answer::Unreachable { .. } => Code::Unreachable,
            Answer::Response(Response { body: Body::Malformed, .. }) => Code::BadAnswer,
            Answer::Response(_) => Code::Server,
        },
        Outcome::Unreachable | Outcome::Intercepted => Code::Unreachable,
        Outcome::Unauthorized => Code::Unauthorized,
        Outcome::Conflict | Outcome::Preconditions => Code::Conflict,
        Outcome::Parked(code) => code,
    };
    let mut fault = Fault::new(code, sentence(code, answer));
    if let Answer::Response(response) = answer {
        fault.status = response.said.as_ref().map_or(Some(response.status), |said| said.status);
        fault.body.clone_from(&response.text);
    }
    fault
}

fn sentence<B>(code: Code, answer: &Answer<B>) -> String {
    let what = match answer {
        Answer::Unreachable { message } => ["no answer (", message, ")"].concat(),
        Answer::TimedOut => "no complete answer within the timeout".into(),
        Answer::Cut => "the answer broke off".into(),
        Answer::Response(Response { said: Some(said), .. }) => said.message.clone(),
        Answer::Response(response) => ["the server answered ", &decimal(response.status.into())].concat(),
    };
    let then = match code {
        Code::Unreachable => "; edits are kept and sent when the server can be reached",
        Code::Timeout | Code::Server => "; it is tried again",
        Code::Unauthorized => "; edits are held until there are new credentials: sign in and call resume()",
        Code::GoneRemotely => ": the item was deleted elsewhere; retry() creates it again, discard() removes it here",
        Code::Conflict => ": it holds something that contradicts the edit; retry() or discard() it",
        Code::Uncertain => " without saying under which key; retry() sends it again, discard() gives it up",
        Code::NotFound => ": there is nothing at this address; check `baseUrl` and `path`",
        Code::TooLarge => " with a larger body than is read; ask for less at once",
        Code::BadAnswer => " with something that is not the JSON expected here",
        _ => "; the edit is kept: retry() or discard() it",
    };
    what + then
}

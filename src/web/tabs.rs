//! The same store in other tabs: what `pkg/tabs.js` makes of the browser's locks and channels.
//!
//! Owns the names by which script is asked, and how what tabs say crosses the border. Script calls `leads` and `told`. Decides nothing
//! about who sends: the engine does.

use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::{
    client_storage::indexed_db::number,
    record::{count, unpack},
    row::{JsRow, Shape, key_of, take_key},
};
use crate::engine::{
    output::Say,
    sender::{Mark, News as Said, Word},
};

#[wasm_bindgen]
extern "C" {
    /// One store's lock and channel. Its methods never throw, and never call back at once.
    #[derive(Clone)]
    pub type Tabs;
    /// Asks for the lock, or takes it from the tab that has it.
    #[wasm_bindgen(method, structural)]
    pub fn lead(this: &Tabs, store: u16, steals: bool);
    /// Whether another tab was ever heard of.
    #[wasm_bindgen(method, getter, structural, js_name = hasPeers)]
    pub fn has_peers(this: &Tabs) -> bool;
    #[wasm_bindgen(method, structural)]
    fn say(this: &Tabs, word: u32, tab: f64, count: f64, news: Option<&News>);
    /// Lets go of the lock and the channel for good.
    #[wasm_bindgen(method, structural)]
    pub fn leave(this: &Tabs);
}

/// What was in a batch of records: `[rows, erased keys, [tab, number, …] of the notes that were taken in]`.
pub type News = Array;

/// So many records are told of at once; of more, others read them.
const NEWS_LIMIT: usize = 64;

/// What to tell of a batch; nothing of one that is too large.
pub fn news_of(puts: &Array, erased: &[JsValue], forgotten: &[(u64, u32)]) -> Option<News> {
    if puts.length() as usize + erased.len() > NEWS_LIMIT {
        return None;
    }
    let taken = Array::new();
    for (tab, count) in forgotten {
        taken.push(&number(*tab).into());
        taken.push(&(*count).into());
    }
    let erased: Array = erased.iter().collect();
    Some(Array::of3(puts, &erased, &taken))
}

impl Tabs {
    /// Tells the other tabs.
    pub fn tell(&self, say: &Say, news: Option<&News>) {
        let (word, mark) = match say {
            Say::Hello => (0, Mark::default()),
            Say::Noted => (1, Mark::default()),
            Say::Flush => (2, Mark::default()),
            Say::Flushed => (3, Mark::default()),
            Say::Here(mark) => (4, *mark),
            Say::Committed(mark, _) => (5, *mark),
        };
        self.say(word, number(mark.tab), number(mark.count), news);
    }
}

/// What another tab has said. What does not make sense of its news is left to be read.
pub fn word_of(shape: Shape, word: u32, mark: Mark, news: Option<&News>) -> Option<Word<JsRow>> {
    Some(match word {
        0 => Word::Hello,
        1 => Word::Noted,
        2 => Word::Flush,
        3 => Word::Flushed,
        4 => Word::Here(mark),
        5 => Word::Committed(mark, news.and_then(|news| read_news(shape, news))),
        _ => return None,
    })
}

fn read_news(shape: Shape, news: &News) -> Option<Said<JsRow>> {
    let part = |at| news.get(at).dyn_into::<Array>().ok();
    let (puts, erased, taken) = (part(0)?, part(1)?, part(2)?);
    let unpacked = unpack(shape, &puts).ok().filter(|unpacked| unpacked.whys.length() == 0)?;
    let erased = erased.iter().map(|key| key_of(&take_key(&key))).collect::<Option<_>>()?;
    let taken = taken.to_vec();
    let taken = taken.chunks_exact(2).map(|pair| {
        let number = |at: usize| pair.get(at).and_then(JsValue::as_f64).and_then(count);
        Some((number(0)?, u32::try_from(number(1)?).ok()?))
    });
    Some(Said { puts: unpacked.records, erased, taken: taken.collect::<Option<_>>()? })
}

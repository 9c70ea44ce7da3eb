//! Time, turns and randomness, as the browser or Node gives them.

use std::cell::Cell;

use wasm_bindgen::prelude::*;

use crate::engine::time::Millis;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static TIME_ORIGIN: f64;
    #[wasm_bindgen(js_name = queueMicrotask)]
    fn queue_microtask(callback: &JsValue);
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &JsValue, delay: i32) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);
    #[wasm_bindgen(js_namespace = globalThis, js_name = addEventListener, catch)]
    fn add_event_listener(name: &str, callback: &JsValue) -> Result<(), JsValue>;
}

/// Now, on a clock that no correction of the system's time moves.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970")]
pub fn now() -> Millis {
    Millis((TIME_ORIGIN.with(|origin| *origin) + performance_now()) as u64)
}

/// A seed that nobody can guess.
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    get_random_values(&mut seed);
    seed
}

/// The one timer and the one end of turn of the page.
pub struct Clock {
    on_wake: JsValue,
    on_turn: JsValue,
    timer: Cell<Option<(Millis, JsValue)>>,
    turn: Cell<bool>,
}

impl Clock {
    /// Calls `woken` when a wake-up is due, `turned` at the end of a turn, `reachable` when the network may be back.
    pub fn new(woken: fn(), turned: fn(), reachable: fn()) -> Self {
        let on_reachable = Closure::<dyn FnMut()>::new(reachable).into_js_value();
        // Node has no such event; the hint is not needed there.
        drop(add_event_listener("online", &on_reachable));
        Self {
            on_wake: Closure::<dyn FnMut()>::new(woken).into_js_value(),
            on_turn: Closure::<dyn FnMut()>::new(turned).into_js_value(),
            timer: Cell::new(None),
            turn: Cell::new(false),
        }
    }

    /// Wants `turned` once, in a microtask of this turn.
    pub fn end_turn(&self) {
        if !self.turn.replace(true) {
            queue_microtask(&self.on_turn);
        }
    }

    /// The turn has ended.
    pub fn turn_ended(&self) {
        self.turn.set(false);
    }

    /// Wants `woken` at this moment and at no other.
    pub fn wake_at(&self, moment: Option<Millis>) {
        let timer = self.timer.take();
        if let (Some((at, handle)), Some(moment)) = (&timer, moment)
            && *at == moment
        {
            return self.timer.set(Some((*at, handle.clone())));
        }
        if let Some((_, handle)) = timer {
            clear_timeout(&handle);
        }
        if let Some(moment) = moment {
            // One more, because timers round down; 2^31 - 1 is the longest that a timer can wait.
            let delay = i32::try_from(moment.since(now()).0 + 1).unwrap_or(i32::MAX);
            self.timer.set(Some((moment, set_timeout(&self.on_wake, delay))));
        }
    }

    /// The timer has gone off.
    pub fn woken(&self) {
        self.timer.set(None);
    }
}

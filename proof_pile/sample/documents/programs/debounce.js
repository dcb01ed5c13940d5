/**
 * Timing helpers for event handlers.
 */

/** Calls `action` once after `delay` milliseconds without a further call. */
export function debounce(action, delay) {
  let timer = null;
  const debounced = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      action(...args);
    }, delay);
  };
  debounced.cancel = () => {
    clearTimeout(timer);
    timer = null;
  };
  debounced.isPending = () => timer !== null;
  return debounced;
}

/** Calls `action` at once, then at most every `interval` milliseconds, with the latest arguments. */
export function throttle(action, interval) {
  let last = -Infinity;
  let waiting = null;
  let timer = null;
  const run = (now) => {
    last = now;
    const args = waiting;
    waiting = null;
    action(...args);
  };
  return (...args) => {
    const now = performance.now();
    waiting = args;
    if (now - last >= interval) {
      run(now);
    } else if (timer === null) {
      timer = setTimeout(() => {
        timer = null;
        if (waiting !== null) {
          run(performance.now());
        }
      }, interval - (now - last));
    }
  };
}

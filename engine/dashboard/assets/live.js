// The stream of events. It begins anew when it breaks, also in another process.
import { $, ask, flow, moment, setText } from './dom.js';

const retry = 2000; // milliseconds

/** Calls the handlers for each event, {metrics, receipt}, and reopened when the
    stream is there again, perhaps of another process. */
export function listen(handlers) {
  const sign = $('#live'), away = $('#away');
  let source, lost = null, last = new Date();
  const show = (on, text) => { sign.dataset.live = on; setText(sign, text); };
  const opened = () => {
    away.hidden = true;
    if (!lost) { show('on', 'live'); return; }
    lost = null;
    show('on', 'connected again');
    setTimeout(() => { if (!lost) show('on', 'live'); }, 8000);
    handlers.reopened?.();
  };
  const broken = () => {
    lost ??= last;
    show('off', 'no connection');
    away.hidden = false;
    setText(away, `The process does not answer. This is as of ${moment(lost)}; the page goes on by itself once it is back.`);
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
    setTimeout(async () => {
      // A session does not outlive its process: then this goes to the login.
      try { await ask('/v1/ready'); } catch { /* the next attempt says so too */ }
      connect();
    }, retry);
  };
  function connect() {
    source = new EventSource('/v1/events' + (flow ? '?flow=' + encodeURIComponent(flow) : ''));
    source.addEventListener('open', opened);
    source.addEventListener('error', broken);
    for (const name of ['metrics', 'receipt']) {
      if (handlers[name]) source.addEventListener(name, (e) => { last = new Date(); handlers[name](JSON.parse(e.data)); });
    }
  }
  connect();
  addEventListener('pagehide', () => source.close());
  addEventListener('pageshow', (e) => { if (e.persisted) connect(); });
}

// How numbers, times and durations are written.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const two = (n) => String(n).padStart(2, "0");

/** A count: 11,873. */
export const count = (n) => whole.format(n);

/** A rate: 12.5. */
export const rate = (n) => tenths.format(n);

/** A count with its noun: 1 copy, 2 copies. */
export const counted = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

/** A duration in seconds, in the unit that suits it. */
export function duration(seconds) {
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.1 ? 2 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** Bytes, in the unit that suits them. */
export function bytes(n) {
  if (n < 1024) return `${n} bytes`;
  if (n < 1024 ** 2) return `${Math.round(n / 1024)} KiB`;
  return `${(n / 1024 ** 2).toFixed(1)} MiB`;
}

/** A time of this day as hh:mm:ss, and of another with its date before. All are this browser's time. */
export function clock(at, now = new Date()) {
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return at.toDateString() === now.toDateString() ? time : `${date(at)} ${time}`;
}

/** A time to the minute, with its date. */
export const minute = (at) => `${date(at)} ${two(at.getHours())}:${two(at.getMinutes())}`;

const date = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;

/** This browser's difference from UTC: UTC+02:00. */
export function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const off = Math.abs(minutes);
  return `UTC${minutes < 0 ? "-" : "+"}${two(Math.floor(off / 60))}:${two(off % 60)}`;
}

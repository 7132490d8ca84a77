// Numbers, durations and times as people read them. Nothing is shown as "–", never as "null" or "NaN".

export const NONE = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });
const moment = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** 20000 -> "20,000". */
export function count(value) {
  return isNumber(value) ? whole.format(value) : NONE;
}

/** 1250000 -> "1.25M". */
export function brief(value) {
  return isNumber(value) ? compact.format(value) : NONE;
}

/** A measured value with four significant digits; very small and very large ones in powers of ten. */
export function value(number, digits = 4) {
  if (!isNumber(number)) return NONE;
  const size = Math.abs(number);
  if (size === 0) return "0";
  if (size < 1e-4 || size >= 1e9) return number.toExponential(Math.min(2, digits - 1)).replace("e+", "e");
  if (size >= 1000) return new Intl.NumberFormat("en", { maximumFractionDigits: size >= 1e5 ? 0 : 1 }).format(number);
  return String(Number(number.toPrecision(digits)));
}

/** 0.123 -> "12.3%"; shares that are not nothing never read as "0%". */
export function share(fraction) {
  if (!isNumber(fraction)) return NONE;
  const percent = fraction * 100;
  if (percent > 0 && percent < 0.1) return "<0.1%";
  if (percent > 99.9 && percent < 100) return ">99.9%";
  const isNearAnEnd = (percent < 10 || percent > 99) && percent % 1 !== 0;
  return `${isNearAnEnd ? percent.toFixed(1) : Math.round(percent)}%`;
}

/** Seconds -> "340 ms", "12.4 s", "3 min 20 s", "1 h 4 min", "2 d 3 h". */
export function duration(seconds) {
  if (!isNumber(seconds) || seconds < 0) return NONE;
  if (seconds < 0.9995) return `${Math.max(seconds > 0 ? 1 : 0, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.floor((seconds + 0.5) / 60);
  if (minutes < 60) return pair(minutes, "min", minutes < 10 ? Math.round(seconds % 60) % 60 : 0, "s");
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? pair(hours, "h", minutes % 60, "min") : pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

const pair = (large, unit, small, smallUnit) => (small ? `${large} ${unit} ${small} ${smallUnit}` : `${large} ${unit}`);

/** How long ago a time in seconds since 1970 was. */
export function ago(time, now = Date.now() / 1000) {
  if (!isNumber(time)) return NONE;
  const past = Math.max(0, now - time);
  if (past < 10) return "just now";
  if (past < 60) return "a moment ago";
  if (past < 3600) return `${Math.floor(past / 60)} min ago`;
  if (past < 86400) return `${Math.floor(past / 3600)} h ago`;
  if (past < 86400 * 14) return Math.floor(past / 86400) === 1 ? "yesterday" : `${Math.floor(past / 86400)} days ago`;
  return day.format(time * 1000);
}

export const timeOf = (time) => (isNumber(time) ? clock.format(time * 1000) : NONE);
export const dateOf = (time) => (isNumber(time) ? moment.format(time * 1000) : NONE);

/** 8123456 -> "8.1 MB". */
export function bytes(size) {
  if (!isNumber(size)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, size < 1000 ? 0 : Math.floor(Math.log10(size) / 3));
  const scaled = size / 1000 ** power;
  return `${power && scaled < 100 ? scaled.toFixed(1) : Math.round(scaled)} ${units[power]}`;
}

/** 3 -> "3rd". */
export function nth(number) {
  const ends = { one: "st", two: "nd", few: "rd", other: "th" };
  return `${count(number)}${ends[new Intl.PluralRules("en", { type: "ordinal" }).select(number)]}`;
}

/** (1, "epoch") -> "1 epoch"; (3, "epoch") -> "3 epochs". */
export function plural(number, noun, many = `${noun}s`) {
  return `${count(number)} ${number === 1 ? noun : many}`;
}

/** A metric within a sentence: "val_loss" -> "validation loss", "rmse" -> "RMSE". */
export function term(name) {
  const written = title(name);
  return written.slice(1) === written.slice(1).toLowerCase() && !/\d|²/.test(written) ? written.toLowerCase() : written;
}

/** "log_loss" -> "Log loss"; the field's abbreviations in capitals. */
export function title(name) {
  const known = { rmse: "RMSE", mae: "MAE", r2: "R²", auc: "AUC", f1: "F1", lr: "Learning rate", mse: "MSE", val_loss: "Validation loss" };
  if (known[name]) return known[name];
  const words = String(name).replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

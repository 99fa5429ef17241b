/** Numbers as people read them: bytes in powers of 1024, counts with separators, durations in two units. */

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1536` → `1.5 KiB`. */
export function bytesText(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(byteUnits.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${byteUnits[power]}`;
}

/** `1234567` → `1,234,567`. */
export function countText(count: number): string {
  return Math.round(count).toLocaleString('en');
}

const timeUnits = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const;

/** Seconds as the largest unit that fits and the next: `3725` → `1 h 2 min`; under a second `0 s`. */
export function durationText(seconds: number): string {
  const index = timeUnits.findIndex(([, unit]) => seconds >= unit);
  if (index === -1) return '0 s';
  const pair = timeUnits.slice(index, index + 2);
  let rest = Math.floor(seconds);
  const parts = pair.map(([name, unit]) => {
    const value = Math.floor(rest / unit);
    rest %= unit;
    return [value, name] as const;
  });
  return parts
    .filter(([value], position) => position === 0 || value > 0)
    .map(([value, name]) => `${value} ${name}`)
    .join(' ');
}

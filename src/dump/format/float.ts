/** Floats in Python's spelling, quickly where JavaScript spells them alike. */
import { pythonFloat } from '../../python-json.ts';

/** `repr` of the float: both print the shortest digits, and neither takes an exponent between 1e-4 and 1e16. */
export function floatText(value: number): string {
  const size = Math.abs(value);
  if (size < 1e-4 || !(size < 1e16)) return pythonFloat(value);
  const text = String(value);
  return text.includes('.') ? text : `${text}.0`;
}

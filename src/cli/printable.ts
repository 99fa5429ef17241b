/**
 * Text that others wrote, such as the name of a table, as one line that only shows: what would move the cursor, begin
 * another line or turn the direction of reading is written as `\\u001b`, which is right within JSON too.
 */

const steering = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

export function printable(text: string): string {
  return text.replaceAll(steering, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** JSON in a cell as Python writes it anew, and as XML that parses (promise P22). */
import { expect, test } from 'vitest';
import { nestedJson, nestedXml } from '../../src/dump/format/nested-text.ts';
import { readNested } from '../../src/dump/format/nested.ts';

test.each([
  ['{"a": 1, "b" : [1, 2.0, 1E5, -0, -0.0]}', '{"a":1,"b":[1,2.0,100000.0,0,-0.0]}'],
  ['{"a": 1, "b": 2, "a": 3}', '{"a":3,"b":2}'],
  ['{"2": 1, "1": 2, "__proto__": 3}', '{"2":1,"1":2,"__proto__":3}'],
  [
    '[123456789012345678901234567890, 0.1000, 1e-7, 1e22, 12345678.90]',
    '[123456789012345678901234567890,0.1,1e-07,1e+22,12345678.9]',
  ],
  ['"\\u00e9\\ud83d\\ude00\\u0000\\/\\b\\u2028"', '"é😀\\u0000/\\b\u2028"'],
  ['"\\ud800 alone"', '"\\ud800 alone"'],
  ['[1e400, -1e400]', '["Infinity","-Infinity"]'],
  ['"\\\\" ', '"\\\\"'],
  ['{"\\\\": "\\"", "": {}}', '{"\\\\":"\\"","":{}}'],
  [' null', 'null'],
  ['[true,false,null,[],{}]', '[true,false,null,[],{}]'],
])('P22: %s in JSON', (text, json) => {
  expect(nestedJson(readNested(text))).toBe(json);
});

test.each([
  ['null', '<c xsi:nil="true" />'],
  ['true', '<c>True</c>'],
  ['""', '<c />'],
  ['[]', '<c />'],
  ['"<&>\\"\\r\\n"', '<c>&lt;&amp;&gt;"\r\n</c>'],
  ['[1.50, null, {}]', '<c><value key="0">1.5</value><value xsi:nil="true" key="1" /><value key="2" /></c>'],
  ['{"<\\"&\\n\\t\\r>": "x"}', '<c><value key="&lt;&quot;&amp;&#10;&#09;&#13;&gt;">x</value></c>'],
  [
    '{"k\\u0000": ["\\u0001\\ufffe"]}',
    '<c><value key="k\ufffd"><value key="0">\ufffd\ufffd</value></value></c>',
  ],
  ['1e400', '<c>inf</c>'],
])('P22: %s in XML', (text, xml) => {
  expect(nestedXml('c', readNested(text))).toBe(xml);
});

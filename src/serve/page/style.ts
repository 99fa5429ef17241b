/** The style sheet of the pages, served at `/page.css`: light and dark, visible focus, no motion, no web fonts. */
export const pageStyle = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --ground: #ffffff; --raised: #f6f8fa;
  --link: #0550ae; --good: #116329; --wait: #6a4a00; --work: #0550ae; --bad: #a40e26; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9da7b3; --line: #30363d; --ground: #0d1117; --raised: #161b22;
    --link: #79b8ff; --good: #56d364; --wait: #e3b341; --work: #79b8ff; --bad: #ff8b85; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
header { border-bottom: 1px solid var(--line); background: var(--raised); padding: 0.75rem 1.5rem; }
.brand { color: var(--ink); font-weight: 600; text-decoration: none; }
main { max-width: 76rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
main:focus { outline: none; }
a { color: var(--link); }
a:focus-visible, button:focus-visible, input:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; }
.lead, .none, .reason, .formats { color: var(--soft); }
.skip, .away { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip:focus { width: auto; height: auto; clip-path: none; padding: 0.5rem 1rem; background: var(--ground); z-index: 1; }
ul.states, ul.pages { list-style: none; display: flex; flex-wrap: wrap; gap: 0.5rem; margin: 1rem 0; padding: 0; }
ul.states a, ul.pages a { display: block; padding: 0.25rem 0.75rem; border: 1px solid var(--line); border-radius: 1rem; color: var(--ink); text-decoration: none; }
ul.states a:hover, ul.pages a:hover { background: var(--raised); }
ul.states a[aria-current], ul.pages a[aria-current] { border-color: var(--link); box-shadow: inset 0 0 0 1px var(--link); }
form { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; margin: 1rem 0; }
form label { flex-basis: 100%; font-size: 0.9rem; color: var(--soft); }
input { flex: 1 1 16rem; max-width: 32rem; }
input, button { font: inherit; color: inherit; padding: 0.4rem 0.7rem; border: 1px solid var(--soft); border-radius: 0.4rem; background: var(--ground); }
button { background: var(--raised); cursor: pointer; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 0.5rem; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 0.5rem 0.75rem; text-align: left; vertical-align: top; font-weight: inherit; border-bottom: 1px solid var(--line); }
tr:last-child > * { border-bottom: 0; }
thead tr > * { border-bottom: 1px solid var(--line); }
thead th { background: var(--raised); font-weight: 600; white-space: nowrap; }
th[aria-sort] a::after { content: ' ▾'; }
th[aria-sort='ascending'] a::after { content: ' ▴'; }
tbody th { min-width: 12rem; } tbody th a { overflow-wrap: anywhere; }
@media (min-width: 60rem) { tbody th { min-width: 20rem; } }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
time, .state { white-space: nowrap; }
.state { font-weight: 600; }
.fresh { color: var(--good); } .pending { color: var(--wait); } .building { color: var(--work); } .failed { color: var(--bad); } .absent { color: var(--soft); }
.reason { margin: 0.15rem 0 0; font-size: 0.875rem; overflow-wrap: anywhere; }
.notes { white-space: pre-line; min-width: 14rem; } .sum { white-space: nowrap; }
progress { width: 8rem; vertical-align: middle; accent-color: var(--work); }
code { font: 0.8125rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1.5rem; }
dt { color: var(--soft); } dd { margin: 0; }
.history { padding-left: 0; list-style: none; }
.history time { color: var(--soft); font-variant-numeric: tabular-nums; margin-right: 0.75rem; }
.notice { border-left: 4px solid var(--work); background: var(--raised); padding: 0.6rem 1rem; }
.empty { padding: 2rem; text-align: center; border: 1px dashed var(--line); border-radius: 0.5rem; }
@media (max-width: 40rem) { thead th:nth-child(5), td.formats { display: none; } tbody th { min-width: 9rem; } th, td { padding: 0.5rem; } }
@media print { form, nav, .skip { display: none; } }
`;

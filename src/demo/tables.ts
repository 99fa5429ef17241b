/** The tables of the demo: the DataStore of a small open-data portal, that of the city of Marenza. */
import type { DemoTable } from './demo-table.ts';
import { airQuality } from './tables/air-quality.ts';
import { budgetLines } from './tables/budget-lines.ts';
import { busStops } from './tables/bus-stops.ts';
import { electionResults } from './tables/election-results.ts';
import { libraryHours } from './tables/library-hours.ts';
import { placeNames } from './tables/place-names.ts';
import { streetTrees } from './tables/street-trees.ts';

/** In the order in which the demo lists them; `airQuality`, of 200,000 rows, is the one to try. */
export const demoTables: readonly DemoTable[] = [
  airQuality,
  busStops,
  streetTrees,
  budgetLines,
  libraryHours,
  electionResults,
  placeNames,
];

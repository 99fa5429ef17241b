/** Numbers that are the same in each run of the same seed (Park and Miller's generator). */
export type Random = (below: number) => number;

export function seeded(seed: number): Random {
  let state = (seed % 2_147_483_646) + 1;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return Math.floor((state / 2_147_483_647) * below);
  };
}

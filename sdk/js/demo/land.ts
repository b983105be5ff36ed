/** Where regions are, and the outlines of the continents: coarse, for orientation only. */

/** Longitude and latitude in degrees. */
export type Place = readonly [longitude: number, latitude: number];

/** The names that `meridian dev` gives. */
const PLACES: Record<string, Place> = {
  eu: [9, 50],
  us: [-90, 39],
  ap: [108, 12],
  sa: [-52, -14],
  af: [20, 3],
  oc: [138, -26],
};

/** Where regions of other names are put: on the northern seas, one after the other. */
const ELSEWHERE: readonly Place[] = [[-40, 30], [70, -20], [-140, 10], [170, 30], [-20, -30]];

export function placeOf(name: string, index: number): Place {
  return PLACES[name.slice(0, 2)] ?? (ELSEWHERE[index % ELSEWHERE.length] as Place);
}

/** Closed outlines: longitude, latitude, longitude, latitude… */
export const OUTLINES: readonly number[][] = [
  // North America
  [-166, 68, -156, 71, -128, 70, -95, 72, -82, 73, -64, 60, -56, 52, -66, 44, -74, 40, -81, 31,
    -80, 25, -84, 30, -97, 27, -97, 20, -87, 21, -83, 10, -78, 8, -85, 12, -105, 20, -112, 30,
    -118, 34, -124, 41, -124, 48, -134, 58, -150, 60, -164, 55, -166, 62],
  // Greenland
  [-55, 82, -22, 82, -20, 72, -42, 60, -52, 66, -60, 76],
  // South America
  [-78, 8, -72, 12, -60, 9, -50, 1, -35, -6, -39, -16, -48, -26, -58, -37, -66, -47, -69, -55,
    -75, -48, -71, -30, -71, -18, -81, -5],
  // Eurasia
  [-9, 43, -9, 37, -2, 37, 3, 43, 12, 44, 16, 39, 19, 41, 23, 36, 27, 38, 36, 36, 35, 31, 43, 13,
    54, 17, 58, 23, 50, 30, 62, 25, 67, 24, 73, 18, 77, 8, 80, 15, 88, 22, 94, 17, 98, 10, 104, 1,
    101, 12, 106, 9, 109, 15, 107, 21, 117, 24, 122, 31, 120, 38, 126, 35, 129, 36, 128, 40,
    140, 48, 142, 54, 156, 51, 163, 60, 178, 64, 180, 69, 140, 73, 105, 78, 80, 73, 60, 69, 42, 67,
    28, 71, 14, 67, 5, 61, 7, 58, 12, 56, 18, 60, 22, 60, 20, 55, 9, 54, 2, 51, -4, 48, -1, 44],
  // The British Isles, Japan, Sumatra and Borneo
  [-5, 50, 1, 52, -2, 56, -4, 58, -6, 56, -3, 54],
  [130, 32, 140, 35, 142, 43, 139, 38, 132, 34],
  [96, 5, 106, -5, 103, -4],
  [109, 1, 117, 6, 116, -4, 111, -3],
  // Africa
  [-6, 36, 10, 37, 20, 31, 32, 31, 37, 21, 43, 12, 51, 12, 41, -2, 40, -15, 35, -22, 32, -29,
    26, -34, 18, -34, 12, -17, 13, -6, 9, 4, -8, 5, -17, 14, -16, 22, -10, 30],
  [44, -25, 50, -16, 49, -12, 44, -18],
  // Australia and New Zealand
  [114, -22, 122, -18, 131, -12, 136, -12, 136, -16, 141, -17, 142, -11, 146, -19, 153, -27,
    150, -37, 143, -39, 135, -34, 129, -32, 115, -34],
  [167, -46, 174, -41, 178, -38, 173, -35, 175, -40, 171, -46],
];

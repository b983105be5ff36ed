export const name = "meridian";

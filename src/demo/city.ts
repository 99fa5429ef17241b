/** Marenza, the demo's city: it does not exist, and lies where the map shows sea. */

export const city = 'Marenza';

/** Its south-west corner in millionths of a degree (WGS 84). */
export const corner = { latitude: 43_412_000, longitude: 8_905_000 } as const;

export const districts = [
  'Altstadt',
  'Port-Évêque',
  'São Tomé',
  'Øvre Marenza',
  "L'Isola",
  'Żabieniec',
  'Ñandú',
  'Győrfalva',
  'Çarşı',
  'Nørrebakke',
  'Upper Mill & Quay',
  'Škofja vas',
] as const;

export const streets = [
  'Rue de l’Évêché',
  "Via dell'Università",
  'Große Bäckerstraße',
  'Calle de la Peña',
  'Avenida São João',
  'Þórsgata',
  'Ulica Żółkiewskiego',
  'Kærlighedsstien',
  "O'Connell Street",
  'Náměstí Míru',
  'İstiklal Caddesi',
  'Hauptstraße',
  'Quai de la Pêche',
  'Plaça de l’Àngel',
  'Bülowstraße',
  'Kauppatori',
  'St. Mary’s Lane',
  'Străduța Florilor',
  'Rua da Conceição',
  'Ångströmsgatan',
] as const;

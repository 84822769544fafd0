// DDPM

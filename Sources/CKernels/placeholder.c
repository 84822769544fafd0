typedef int ck_placeholder;

"""Groups of unnamed faces, one person each: finding, dividing and naming them."""
